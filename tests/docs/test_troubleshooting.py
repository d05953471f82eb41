"""Every message of ours has its place in docs/troubleshooting.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emqx_fn.spec import WAIVABLE

from .documents import ROOT, headings
from .rules import NotConstant, rule_ids

TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
_ID = re.compile(r"`([a-z]+(?:-[a-z]+)*)`")


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def documented(title: str) -> list[str]:
    return [match[1] for heading in headings(section(title)) if (match := _ID.fullmatch(heading))]


FUNCTION = rule_ids(ROOT / "plugins" / "emqx_fn")
TOOLS = rule_ids(ROOT / "tools" / "emqx_gitops")


def test_every_rule_of_the_plugin_is_explained_and_no_other() -> None:
    assert documented("Rules of the plugin") == sorted(FUNCTION)


def test_every_rule_of_the_command_line_is_explained_and_no_other() -> None:
    assert documented("Rules of `emqx-gitops`") == sorted(TOOLS - FUNCTION)


@pytest.mark.parametrize("rule", sorted(FUNCTION))
def test_page_says_which_rules_may_be_waived(rule: str) -> None:
    text = TEXT.partition(f"\n### `{rule}`\n")[2].partition("\n#")[0]
    assert ("*May be waived*" in text) == (rule in WAIVABLE)


@pytest.mark.parametrize(
    ("begins", "said_in"),
    [
        ("emqx-gitops: no Python", "plugins/emqx-gitops.dev/launch.sh"),
        ("spec.template.spec.serviceAccountName: Invalid value", "base/pod/pod-template.yaml"),
    ],
)
def test_a_message_of_ours_is_quoted_as_it_is_said(begins: str, said_in: str) -> None:
    (title,) = [heading for heading in headings(TEXT) if heading.startswith(f"`{begins}")]
    # What stands for a folder, and what Kubernetes says before our words, is not ours.
    ours = title.strip("`").partition('Invalid value: "')[2].rstrip('"') or title.strip("`")
    text = (ROOT / said_in).read_text(encoding="utf-8")
    assert [piece for piece in ours.split("…") if piece.strip() not in text] == []


def test_a_rule_that_no_reader_can_find_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("raise refuse('a' + 'b', '', '', '', '')\n", encoding="utf-8")
    with pytest.raises(NotConstant, match="line 1"):
        rule_ids(tmp_path)


def test_rules_are_found_wherever_they_are_passed(tmp_path: Path) -> None:
    text = """
class Reader:
    def bad(self, path, message, fix, rule="default"):
        self.problems.append(Problem(rule, "", path, message, fix))

    def read(self):
        self.bad("", "", "")
        self.bad("", "", "", "fourth")
        self.bad("", "", "", rule="named")
        raise refuse("refused", "", "", "", "")
"""
    (tmp_path / "module.py").write_text(text, encoding="utf-8")
    assert rule_ids(tmp_path) == {"default", "fourth", "named", "refused"}
