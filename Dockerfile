# One image for both: a KRM function, which is its entry point, and the sidecar of Argo CD's repo-server, which has a command of its own.
# It is at the root because it holds a clone that was set up: plugins/, tools/, and what set-up makes of their locks.
#   docker build --tag registry.example.com/platform/emqx-gitops:v0.1.0 .
FROM python:3.14.7-slim-trixie@sha256:cad9a2c871761c413caa6fdd6441c783451e740a48aaeba60ae62a8b53525ef6 AS base

FROM base AS build
WORKDIR /opt/emqx-gitops
COPY . .
# As in any clone: packages by the hashes of requirements.lock, Go by that of tools/go.lock, kustomize and kubeconform by those of tools/go.sum.
RUN python tools/bootstrap.py --no-links && rm -rf .tools/go .tools/go-cache .tools/log
# Nobody may write there later, and each render would compile the function anew.
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash plugins/emqx_fn tools/emqx_gitops && chmod -R a+rX .

FROM base
# kustomize fetches Git URLs with it, and `emqx-gitops validate` asks it for the day of the last commit. Debian keeps no older version to pin.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/emqx-gitops /opt/emqx-gitops
# The cache of schemas goes into HOME.
ENV PATH=/opt/emqx-gitops/.venv/bin:/opt/emqx-gitops/.tools/bin:$PATH \
    KUSTOMIZE_PLUGIN_HOME=/opt/emqx-gitops/plugins \
    HOME=/tmp
# Argo CD's user: the sidecar and the repo-server share a socket.
USER 999:999
WORKDIR /tmp
ENTRYPOINT ["/opt/emqx-gitops/.venv/bin/python", "-I", "/opt/emqx-gitops/plugins/emqx_fn/__main__.py"]
