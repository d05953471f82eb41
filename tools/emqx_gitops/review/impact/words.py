"""How findings are written: numbers, lists, commands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from emqx_fn.record import MISSING
from emqx_gitops.resources import Resource

_SHOWN = 6


def count(number: int, word: str) -> str:
    """`1 pod`, `3 pods`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def listed(words: Iterable[str], limit: int = _SHOWN) -> str:
    """The words with commas, the rest of a long list counted."""
    every = list(dict.fromkeys(words))
    rest = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {rest} more" if rest > 0 else "")


def value(data: Any) -> str:
    """A value in one short line. Never for what may hold a secret."""
    if data is MISSING:
        return "nothing"
    text = data if isinstance(data, str) else json.dumps(data, sort_keys=True, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def between(before: Any, after: Any) -> str:
    """`from X to Y`, in one line."""
    return f"from {value(before)} to {value(after)}"


def kubectl(where: Resource | str, *arguments: str) -> str:
    """A command in a namespace, or in the one of an object."""
    namespace = where if isinstance(where, str) else where.key.namespace
    return " ".join(("kubectl", *(("-n", namespace) if namespace else ()), *arguments))


def sync(*before: str) -> Sequence[str]:
    """The steps, and then how each engine is told to try again."""
    return (*before, "Argo CD: argocd app sync APPLICATION; Flux: flux reconcile kustomization KUSTOMIZATION --with-source")
