"""What a change does to the clusters that run: from the differences of two renderings to findings, worst first."""

from __future__ import annotations

from emqx_gitops.review.impact.rules import RULES
from emqx_gitops.review.impact.themes import findings

__all__ = ["RULES", "findings"]
