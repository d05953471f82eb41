"""The kustomize function of emqx-gitops: standard library and PyYAML only, because it runs on every render."""

__version__ = "0.1.0"

GROUP = "emqx-gitops.dev"
API_VERSION = f"{GROUP}/v1alpha1"
