"""Settings: read once, checked under the name the user wrote, then passed as frozen values.

Modules are imported by name where they are needed: reading the file's model costs
more than `fanout --help` may take.
"""
