"""
Repeated deliveries, recognised: claims before a handler runs, done markers after.

    owner key   w:<owner>, lives `OWNER_LIFE_S`, renewed by a thread of its own; one for each handler of a worker
    claim       none: ours, RUN     ours: RUN     done: DONE, or MISMATCH for other content
                another's: BUSY while its owner key lives; then it is taken over by compare-and-set, RUN
    complete    ours or none: done for the window     done: ALREADY     another's: LOST, touched by nobody
    release     ours: deleted

A key that exists does not mean done: the word of it is its state. Nothing sticks: claims end with the window, too.
"""
