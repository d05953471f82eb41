"""Hypothesis runs the same examples everywhere: a property that fails does so on every machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("emqx-gitops", deadline=None, derandomize=True, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("emqx-gitops")
