"""The check that the members found each other: its script, run against what answers as the HTTP API does."""
