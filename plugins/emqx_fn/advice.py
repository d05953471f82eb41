"""Warnings: what works, and yet is seldom meant. Only the command line shows them."""

from __future__ import annotations

import re

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.environment import is_replicant
from emqx_fn.family import parse_image
from emqx_fn.listening import reach_of
from emqx_fn.metrics import scraped_twice
from emqx_fn.pods import quantity
from emqx_fn.ports import undeclared_ports
from emqx_fn.problem import Problem


def check(case: Case) -> list[Problem]:
    """All warnings about one cluster, each of severity `warning`."""
    found: list[Problem] = []
    for rule in (even_members, no_limits, mutable_tag, undeclared_ports):
        found += rule(case)
    found += scraped_twice(reach_of(case))
    return [problem._replace(severity="warning") for problem in found]


def even_members(case: Case) -> list[Problem]:
    """With an even number of members a network split in the middle leaves no majority that could heal it."""
    replicas = case.s.replicas
    if replicas < 2 or replicas % 2 or is_replicant(case.env):
        return []
    message = f"expected an odd number of members: of {replicas}, no half is the majority after a network split; got {replicas}"
    return [Problem("even-members", str(case.workload), "spec.replicas", message, f"use {replicas - 1} or {replicas + 1}")]


def no_limits(case: Case) -> list[Problem]:
    """Without a memory request the scheduler overbooks the node; without a limit one member takes its neighbours down."""
    if any(limits.namespace == case.workload.namespace for limits in case.graph.objects("LimitRange")):
        return []
    own, whole = g.mapping(case.container, "resources"), g.mapping(g.pod_spec(case.workload), "resources")
    limit = g.mapping(own, "limits").get("memory") or g.mapping(whole, "limits").get("memory")
    request = g.mapping(own, "requests").get("memory") or g.mapping(whole, "requests").get("memory") or limit
    path = case.container_path("resources")
    if request is None or limit is None:
        missing = "neither" if request is None else "no limit"
        message = f"expected a memory request and a memory limit, so that the node keeps room and one member cannot take all of it; got {missing}"
        return [Problem("no-limits", str(case.workload), path, message, "set resources: {requests: {memory: 512Mi}, limits: {memory: 1Gi}}, and measure")]
    size = quantity(limit)
    if case.s.version.major < 5 or size is None or size >= _LEAST_MEMORY:
        return []
    message = f"expected at least 512Mi: EMQX {case.s.version} with less is soon killed for want of memory; got {limit}"
    return [Problem("no-limits", str(case.workload), f"{path}.limits.memory", message, "set limits: {memory: 1Gi}, and measure")]


_LEAST_MEMORY = 512 * 1024**2


def mutable_tag(case: Case) -> list[Problem]:
    """A tag that moves brings another release at the next restart of a pod, and two releases into one cluster."""
    image = g.text(case.container, "image")
    parts = parse_image(image)
    if parts.digest or not re.fullmatch(r"|latest|[ve]?\d{1,3}(\.\d{1,3})?(-[a-z]+)?", parts.tag):
        return []
    message = f"expected a tag that names the whole release, such as 5.8.9, or a digest: a restarted pod may get another one; got {image!r}"
    return [Problem("mutable-tag", str(case.workload), case.container_path("image"), message, "name the patch release in the tag")]
