"""Copy loops on other clients, pinned and tuned: what is measured beside fanout, and never shipped with it."""
