"""The same rendering from every supported kustomize; `make cluster-tools` builds the others."""
