"""
Draining: a backlog goes through a temporary topic to many workers, and the old structure comes back.

`flow` is the order of the steps, `finished_mark` the heart: the old group never passes
it, so that whenever a drain ends early, nothing is lost.
"""
