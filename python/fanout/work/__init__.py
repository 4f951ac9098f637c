"""
Running handlers over a topic.

    consumer thread (feed) ─▶ intake: ledger, key queues (Rust) ─▶ slots on the event loop (runtime)
                    ▲                                                      │ attempt ─▶ dead letters
                    └── commit point ◀────────── settle, per batch ◀───────┘

`supervisor` keeps the processes, `child` is what each of them runs.
"""
