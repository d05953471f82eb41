"""What must hold before a rendering may be printed: an empty or unrendered one would delete or break a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from emqx_fn.graph import mapping
from emqx_fn.problem import Problem
from emqx_gitops.resources import Resource

STAMP = "emqx-gitops.dev/rendered-by"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def check(resources: tuple[Resource, ...], *, stamped: Callable[[Resource], bool]) -> list[Problem]:
    """The reasons not to hand this rendering to anybody; `stamped` says of an EMQX workload whether the plugin must have run on it."""
    if not resources:
        message = "expected at least one object; the rendering is empty, and syncing it would delete everything"
        return [Problem("empty-rendering", "", "", message, "see why: resources: of the kustomization, or the program before the pipe")]
    return [problem for resource in resources if resource.is_workload or resource.key.kind == "Job" for problem in _workload(resource, stamped)]


def _workload(resource: Resource, stamped: Callable[[Resource], bool]) -> Iterator[Problem]:
    account = resource.pod_spec.get("serviceAccountName")
    if account is not None and not _NAME.fullmatch(str(account)):
        message = f"expected the name of a ServiceAccount; the placeholder {str(account)!r} is left"
        yield Problem("not-rendered", resource.label, "spec.template.spec.serviceAccountName", message, _FIX)
    elif resource.is_emqx and STAMP not in mapping(resource.metadata, "annotations") and stamped(resource):
        message = f"expected the annotation {STAMP}; EmqxCluster has not run on this workload"
        yield Problem("not-rendered", resource.label, "metadata.annotations", message, _FIX)


_FIX = "add `transformers: [../../plugins/inject]` to the kustomization, and an EmqxCluster to its resources"
