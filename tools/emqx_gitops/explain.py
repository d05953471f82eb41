"""A word -> what it means: a variable or config path of EMQX, a rule, or a rendering as the cluster that it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emqx_fn.problem import nearest
from emqx_fn.spec import WAIVABLE
from emqx_gitops import rule_pages, terminal
from emqx_gitops.errors import Problems, UsageFailure
from emqx_gitops.rule_pages import Page

FORMATS = ("text", "json")


def answer(what: str, output: str, kustomize: str | None) -> str:
    """The answer in one of the formats; a word that means nothing is a wrong argument."""
    page = rule_pages.page(what)
    if page:
        return _json(_page_row(page)) if output == "json" else page.text
    if what == "-" or (not what.startswith("EMQX_") and Path(what).exists()):
        return _cluster(what, output, kustomize)
    return _key(what, output)


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _page_row(page: Page) -> dict[str, Any]:
    return {"rule": page.rule, "summary": page.summary, "waivable": page.rule in WAIVABLE, "page": page.text}


def _cluster(path: str, output: str, kustomize: str | None) -> str:
    from emqx_gitops import explain_cluster, inventory, rendering, validate
    from emqx_gitops.kustomize import find

    targets, streams = validate.sort_inputs([path])
    (rendered,) = rendering.required([*streams, *(rendering.render(find(kustomize), target) for target in targets)])
    if not any(resource.is_emqx for resource in rendered.resources):
        raise Problems(list(rendered.located(inventory.check(rendered.resources))))
    return _json(explain_cluster.data(rendered)) if output == "json" else explain_cluster.text(rendered, terminal.paint)


def _key(name: str, output: str) -> str:
    from emqx_gitops import explain_key

    found = explain_key.facts(name) if output == "json" else explain_key.explain(name)
    if found is not None:
        return found if isinstance(found, str) else _json(found)
    guess = nearest(name, rule_pages.known()) or explain_key.nearest(name)
    message = f"{name}: expected a variable EMQX_…, a config path, the id of a rule, a folder or a file; it is none of them"
    raise UsageFailure(message, f"did you mean {guess}?" if guess else "correct the name, or list the rules: docs/rules")
