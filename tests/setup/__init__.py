"""Set-up: from a fresh clone to a kustomize that finds the plugin, and the way back."""
