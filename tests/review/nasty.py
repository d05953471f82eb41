"""A review in which the same text stands wherever somebody else may choose one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from emqx_fn.problem import Problem
from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.review.differences import differences
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import Consent, Finding, Pair, Review, Skipped, TargetReview
from emqx_gitops.sources import Read

PIECES = (
    *("</details>", "</summary>", "</code>", "</svg>", "</style>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--", "-->", "]]>", "<br>"),
    *(
        "```",
        "````",
        "~~~",
        "`",
        "\n\n",
        "\n",
        "\r",
        "\n```\n",
        "\n# x",
        "\n- x",
        "1. x",
        "- ",
        "---",
        "===",
        "> ",
        "    x",
        "| a | b |",
        "|",
        "\\",
        "***",
        "__x__",
    ),
    *(
        "@octocat",
        "x@y.org",
        "org/team@x",
        "#123",
        "GH-12",
        "o/r#1",
        "deadbeef01",
        "http://x.org",
        "www.x.org",
        "[a](http://x)",
        "![a](http://x)",
        ":tada:",
        "$x$",
    ),
    *(
        "::error::x",
        " ::stop-commands::x",
        "##[error]x",
        "::",
        "Accept: x * because y",
        '"]',
        '"] --> x',
        "%%{init: {}}%%",
        "end",
        "\u202e",
        "\u2028",
        "\x00",
        "\x1b[31m",
    ),
    *("'", '"', "&amp;", "&#64;", "<", ">", "&", "{{x}}", "${x}", "中文", "é", "😀", " ", "a", "0"),
)
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), min_size=1, max_size=8).map("".join)


def rendering(documents: list[dict[str, Any]]) -> Rendering:
    """As if the guard let everything pass."""
    return replace(from_text("x", Read(()), yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=False)), problems=())


def cluster(text: str, replicas: int) -> list[dict[str, Any]]:
    labels = {"app": "emqx"}
    container = {"name": "emqx", "image": f"emqx/emqx:5.8.9{text}", "args": [text], "envFrom": [{"configMapRef": {"name": text}}]}
    workload = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "serviceName": text,
        "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": text, "containers": [container]}},
    }
    return [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": f"emqx{text}"}, "spec": workload},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": text}, "data": {text: f"{replicas}\n{text}\n{text}", "x": text * replicas}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{text}"},
            "spec": {"selector": labels, "type": text, "ports": [{"name": text, "port": 1}]},
        },
    ]


def review(text: str) -> Shown:
    """As if it were masked: what masks take away could do no harm."""
    old, new = rendering(cluster(text, 1)), rendering([*cluster(text, 2), {"apiVersion": "v1", "kind": text or "x", "metadata": {"name": f"n{text}"}}])
    pair = Pair(Target(Path("x"), text), old, new, differences(old, new))
    plan = (text, f"kubectl delete {text}", f"kubectl delete {text}: {text}", f"so: git {text}", f"x {text}")
    findings = tuple(Finding(rule, severity, f"Kind/{text}", text, text, plan) for rule, severity in (("a", "danger"), ("b", "refused"), ("c", "info")))
    consent = Consent("a", text, text, text, text, text)
    problem = Problem(text, text, text, text, text, text)
    target = TargetReview(pair, findings, (problem,), ((findings[0], consent),))
    return Shown(Review(text, f"x{text}", (text, f"{text}x"), (target,), (Skipped(text, text),), (consent, consent._replace(rule=""))))
