"""Tests against a real API server; `make cluster-tools` builds what they need."""
