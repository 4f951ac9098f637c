"""What holds for every property that hypothesis searches here."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Properties say nothing of time: a machine that stands still for a moment falsifies none.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
