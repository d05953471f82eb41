"""Every rule that the code can say has one page of one form, a case that breaks it and a case that keeps it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from emqx_fn import wire
from emqx_fn.spec import WAIVABLE, parse_spec

from . import goldens, rules_page
from .documents import ROOT, Block, blocks
from .rules import NotConstant, rule_ids
from .rules_page import SECTIONS, SEVERITIES, Page

PAGES = rules_page.pages()
SAID = goldens.said()
RULES = rule_ids(ROOT / "plugins" / "emqx_fn") | rule_ids(ROOT / "tools" / "emqx_gitops")

# No case can show these, with the reason.
WITHOUT_CASE = {
    "internal-error": "a mistake of the plugin's own: where one is known it is mended; tests/properties/test_fuzz.py looks for more",
    "wrong-protocol": "the function is not started by kustomize: see test_page_shows_what_the_function_says_without_its_protocol",
}

# Cases that come close and are fine, for rules that have no folder of their own in tests/rules/cases.
KEPT = {
    "invalid-name": "cli/cases/validate-fine",
    "claim-not-found": "fn/cases/article/6-volumes",
    "config-not-read": "cli/cases/validate-config-files",
    "contradiction": "fn/cases/article/2-environment",
    "duplicate-variable": "fn/cases/article/2-environment",
    "empty-rendering": "cli/cases/validate-fine",
    "empty-stream": "fn/cases/stream/strangers",
    "fs-group": "fn/cases/volume/claims",
    "hostname-on-deployment": "fn/cases/article/4-config-map",
    "image-without-version": "fn/cases/image/suffix-and-digest",
    "invalid-value": "fn/cases/network/listeners",
    "kustomize": "cli/cases/render-one",
    "license-unknown": "fn/cases/license/file-of-4.4",
    "missing-object": "cli/cases/validate-fine",
    "name-taken": "fn/cases/rbac/merged",
    "namespace-unknown": "fn/cases/article/1-deployment",
    "no-cluster": "cli/cases/validate-fine",
    "no-container": "fn/cases/stream/workload-chosen",
    "no-discovery-service": "fn/cases/article/1-deployment",
    "no-settings": "fn/cases/stream/spec-in-config",
    "no-workload": "fn/cases/stream/workload-chosen",
    "node-name": "fn/cases/article/2-environment",
    "not-kubernetes": "fn/cases/stream/strangers",
    "not-ready-addresses": "fn/cases/article/5-stateful-set",
    "not-rendered": "cli/cases/validate-fine",
    "not-yaml": "fn/cases/stream/odd-scalars-in-the-workload",
    "ordered-ready-with-claims": "fn/cases/identity/ordered-ready-with-one-replica",
    "other-family": "fn/cases/family/dns-4.4",
    "plugin-version": "fn/cases/settings/requires-satisfied",
    "record-type": "fn/cases/family/dns-4.4",
    "schema": "cli/cases/validate-fine",
    "service-name": "fn/cases/article/5-stateful-set",
    "srv-on-deployment": "fn/cases/family/dns-4.1",
    "stale": "rules/cases/even-members/good-one-member",
    "storage-class": "fn/cases/article/6-volumes",
    "two-settings": "fn/cases/stream/spec-in-config",
    "two-workloads": "fn/cases/stream/workload-chosen",
    "unknown-field": "fn/cases/network/listeners",
    "unchecked-kind": "cli/cases/validate-skip-kind",
    "unknown-kind": "cli/cases/validate-unchecked-kind",
    "unsupported-version": "fn/cases/image/minor-tag",
    "unused-waiver": "cli/cases/validate-waiver-needed",
    "volume-not-found": "fn/cases/volume/mount-by-hand",
    "waiver-expired": "cli/cases/validate-waived",
    "wrong-protocol": "fn/cases/stream/spec-in-config",
}


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert sorted(PAGES) == sorted(RULES)


def test_nothing_is_said_by_a_rule_that_the_code_does_not_show() -> None:
    assert sorted({found.rule for found in SAID} - RULES) == []


def test_every_rule_that_may_be_waived_is_one() -> None:
    assert sorted(set(WAIVABLE) - RULES) == []


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_page_has_the_form(page: Page) -> None:
    assert page.titles == [f"`{page.rule}`", *SECTIONS]
    assert page.severity in SEVERITIES, f"expected as the last line of the lead one of {', '.join(f'*{word}.*' for word in SEVERITIES)}"
    assert len(page.lead) <= 3
    assert all(page.section(title) for title in SECTIONS)
    assert page.text == page.text.rstrip() + "\n"


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_page_says_the_severity(page: Page) -> None:
    assert page.severity == severity(page.rule)


def severity(rule: str) -> str:
    """What the cases and the table of waivers say: a rule that is ever an error is one."""
    ways = {found.how for found in SAID if found.rule == rule}
    return "Warning" if ways == {"warning"} else "Error; may be waived" if rule in WAIVABLE else "Error"


def test_no_warning_may_be_waived() -> None:
    assert [rule for rule in WAIVABLE if {found.how for found in SAID if found.rule == rule} == {"warning"}] == []


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_page_shows_before_and_after(page: Page) -> None:
    before, after = (page.examples(title) for title in ("Before", "After"))
    assert before
    assert after
    assert before != after
    assert [problem for block in (*before, *after) if (problem := misshapen(block))] == []


def misshapen(block: Block) -> str:
    """What is wrong with an example, or an empty string."""
    if block.language in ("console", "sh"):
        return ""
    if block.language != "yaml":
        return f"expected yaml, console or sh; got {block.language!r}"
    try:
        return "" if all(isinstance(document, (dict, list)) for document in yaml.safe_load_all(block.text)) else f"expected objects: {block.text}"
    except yaml.YAMLError as error:
        return str(error)


@pytest.mark.parametrize("page", [page for rule, page in PAGES.items() if rule not in WITHOUT_CASE], ids=lambda page: page.rule)
def test_a_message_on_a_page_is_one_that_a_case_shows(page: Page) -> None:
    lines = [line for title in SECTIONS for block in page.examples(title) if block.language == "console" for line in block.text.splitlines()]
    shown = {line for line in lines if line.endswith("]") and not line.startswith("$")}
    assert shown - {found.message for found in SAID} == set()


def test_page_shows_what_the_function_says_without_its_protocol() -> None:
    (block,) = PAGES["wrong-protocol"].examples("Before")
    command, *lines = block.text.splitlines()
    assert command.startswith("$ python plugins/emqx_fn ")
    done = subprocess.run([sys.executable, "plugins/emqx_fn"], input="kind: List\n", cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (1, "", lines)


@pytest.mark.parametrize("rule", sorted(RULES - set(WITHOUT_CASE)))
def test_a_case_breaks_the_rule(rule: str) -> None:
    assert [found.golden for found in SAID if found.rule == rule]


@pytest.mark.parametrize("rule", sorted(RULES - {"internal-error"}))
def test_a_case_keeps_the_rule(rule: str) -> None:
    folders = sorted((goldens.TESTS / "rules" / "cases" / rule).glob("good-*"))
    kept = [*folders, *([goldens.TESTS / KEPT[rule]] if rule in KEPT else [])]
    assert kept
    assert [case for case in kept if not goldens.keeps(case, rule, SAID)] == []


def test_the_lists_of_this_file_hold_no_more_than_they_must() -> None:
    assert sorted(set(WITHOUT_CASE) - RULES) == []
    assert sorted(set(KEPT) - RULES) == []
    assert [rule for rule in KEPT if any((goldens.TESTS / "rules" / "cases" / rule).glob("good-*"))] == []
    assert [rule for rule in WITHOUT_CASE if any(found.rule == rule for found in SAID)] == []


def test_index_is_fresh(update_goldens: bool) -> None:
    path = rules_page.FOLDER / "README.md"
    if update_goldens:
        path.write_text(rules_page.index(), encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == rules_page.index(), "run `make update-goldens`"


def test_waivers_of_the_index_are_valid() -> None:
    (block,) = blocks(rules_page.index())
    spec, problems = parse_spec(wire.load(block.text, "README.md"), "EmqxCluster/emqx")
    assert problems == []
    assert len(spec.allow) == block.text.count("rule:")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("raise refuse('a', '', '', '', '')", {"a"}),
        ("problems = [Problem(rule='a', object='')]", {"a"}),
        ("_RULE = 'a'\nProblem(_RULE, '')", {"a"}),
        ("Problem('a' if x else 'b', '')", {"a", "b"}),
        ("rule = 'a' if x else 'b' if y else found.rule\nProblem(rule, '')", {"a", "b"}),
        ("rule, fix = ('a', '') if x else ('b', '')\nProblem(rule, '')", {"a", "b"}),
        ("def one(case, rule):\n    return Problem(rule, '')\none(case, 'a')", {"a"}),
        ("def one(rule):\n    return Problem(rule, '')\ndef two(case, rule):\n    return one(rule)\ntwo(case, 'a')", {"a"}),
        ("R = 'a'\ndef one(case, *, rule=R):\n    return Problem(rule, '')\none('')\none('', rule='b')", {"a", "b"}),
        ("class Verdict:\n    rule: str\n    message: str\n    fix: str\nfound = Verdict('a', '', '')\nProblem(found.rule, '')", {"a"}),
        ("def page(rule):\n    return rule\npage(argument)", set()),
    ],
)
def test_rules_are_found_however_they_are_passed(tmp_path: Path, text: str, found: set[str]) -> None:
    (tmp_path / "module.py").write_text(text, encoding="utf-8")
    assert rule_ids(tmp_path) == found


def test_rules_are_found_wherever_a_method_takes_them(tmp_path: Path) -> None:
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


def test_a_rule_that_no_reader_can_find_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("raise refuse('a' + 'b', '', '', '', '')\n", encoding="utf-8")
    with pytest.raises(NotConstant, match=r"module\.py, line 1"):
        rule_ids(tmp_path)
