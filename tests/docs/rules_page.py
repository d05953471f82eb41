"""The pages below docs/rules, taken apart, and docs/rules/README.md, the table of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from emqx_fn.spec import ABOUT_VARIABLES
from emqx_gitops import rule_pages

from .documents import ROOT, Block, blocks, headings

FOLDER = ROOT / "docs" / "rules"
SEVERITIES = ("Error", "Error; may be waived", "Warning")
SECTIONS = ("Why", "Before", "After")
_SEVERITY = re.compile(rf"\*({'|'.join(SEVERITIES)})\.\*")


class Page(NamedTuple):
    """One rule as its page tells it. What has not the form is empty here."""

    rule: str
    text: str

    @property
    def lead(self) -> list[str]:
        """The lines between the title and the first section."""
        return [line for line in self.text.partition("\n## ")[0].splitlines()[1:] if line]

    @property
    def severity(self) -> str:
        """One of SEVERITIES, from the last line of the lead."""
        match = _SEVERITY.fullmatch(self.lead[-1]) if len(self.lead) > 1 else None
        return match[1] if match else ""

    @property
    def summary(self) -> str:
        """The first sentence, as the command line shows it too."""
        return rule_pages.Page(self.rule, self.text).summary

    @property
    def titles(self) -> list[str]:
        return headings(self.text)

    def section(self, title: str) -> str:
        return self.text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip()

    def examples(self, title: str) -> list[Block]:
        return blocks(self.section(title) + "\n")


def pages(folder: Path = FOLDER) -> dict[str, Page]:
    """Every page by its rule."""
    return {path.stem: Page(path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.md")) if path.name != "README.md"}


HEAD = """\
# Rules

What EMQX or the API server would refuse or, worse, accept without a word, and the YAML already shows.
A message ends with the id of its rule in brackets; `emqx-gitops explain member-ports` prints that rule's page.

The rules read the final resources, so they hold for hand-written YAML, a Helm chart's rendering and this project's alike:
while the plugin renders, in `EmqxPolicy`, and in `emqx-gitops validate`.
An error refuses the build. A warning is said by `emqx-gitops validate` only, for kustomize swallows what a plugin says when it succeeds.
"""

WAIVERS = """\
## Waivers

A cluster can break some rules and still form. `spec.policy.allow` of its `EmqxCluster` lists those that it may (in an `EmqxPolicy`: `spec.allow`):

```yaml
policy:
  allow:
    - rule: fs-group
      reason: the storage class gives volumes to user 1000
      until: "2027-06-30"
    - rule: unknown-variable
      variable: EMQX_PLUGIN__OURS__*
      reason: read by a plugin of our own
```

- `reason` is for the next reader; every report shows it beside what was waived.
- Without `until` a waiver holds for good. With it, `emqx-gitops validate` refuses it from the day after, as [`waiver-expired`](waiver-expired.md).
  The day is that of `--date`, else of the last commit, and never a clock's: the same commit gives the same build and the same report.
- `variable` belongs to the rules about one variable, and to no other: {about}. A `*` at its end stands for the rest of the name.
- A waiver that waives nothing is a warning, [`unused-waiver`](unused-waiver.md).

A rule that may not be waived guards what would not run, or would not form a cluster; naming it in a waiver is refused.
[Settings](../settings.md#rules-that-may-be-waived) has the fields.
"""

TABLE = """\
## All rules

| Rule | Severity | May be waived | What it says |
|---|---|---|---|
"""


def index() -> str:
    """docs/rules/README.md."""
    *others, last = (f"`{rule}`" for rule in ABOUT_VARIABLES)
    waivers = WAIVERS.format(about=f"{', '.join(others)} and {last}")
    return "\n".join([HEAD, waivers, TABLE + "".join(_row(page) for page in pages().values())])


def _row(page: Page) -> str:
    severity, waivable, _ = page.severity.partition("; may be waived")
    summary = page.summary.replace("|", "\\|")
    return f"| [`{page.rule}`]({page.rule}.md) | {severity.lower()} | {'yes' if waivable else ''} | {summary} |\n"
