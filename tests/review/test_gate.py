"""What opens the gate: a person who names a finding, where it is, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from emqx_fn.problem import Problem
from emqx_gitops.errors import UsageFailure
from emqx_gitops.project import Target
from emqx_gitops.review import gate, report
from emqx_gitops.review.model import Consent, Finding, Pair, Review, Severity, TargetReview

from .conftest import Clone

DAY = "2026-01-31"


def finding(rule: str, severity: Severity = "danger", about: str = "StatefulSet/emqx") -> Finding:
    return Finding(rule, severity, about, "spec.x", "it goes")


def target(*findings: Finding, name: str = "clusters/a", problems: tuple[Problem, ...] = ()) -> TargetReview:
    return TargetReview(Pair(Target(Path(name), name), None, None), findings, problems)


def granted(target: TargetReview, *lines: str, day: str = DAY) -> tuple[Review, list[str]]:
    targets, unused = gate.grant([target], gate.of_options(lines), day)
    return Review("a", "b", ("", ""), targets, (), unused), [consent.note for consent in unused]


@pytest.mark.parametrize(
    ("line", "rule", "where", "until", "reason"),
    [
        ("claim-shrinks clusters/a because it is empty", "claim-shrinks", "clusters/a", "", "it is empty"),
        ("claim-shrinks * because it is empty", "claim-shrinks", "*", "", "it is empty"),
        ("x clusters/a:StatefulSet/emqx until 2026-02-01 because of the move", "x", "clusters/a:StatefulSet/emqx", "2026-02-01", "of the move"),
        ("x clusters/a:ClusterRole/system:emqx because because", "x", "clusters/a:ClusterRole/system:emqx", "", "because"),
        ("  x   .   because   y  ", "x", ".", "", "y"),
    ],
)
def test_a_consent_is_read(line: str, rule: str, where: str, until: str, reason: str) -> None:
    assert gate.parse(line, "me") == Consent(rule, where, reason, "me", until)


@pytest.mark.parametrize(
    "line",
    ["", "x", "x clusters/a", "x because y", "x clusters/a because", "x clusters/a: because y", "x clusters/a until tomorrow because y", "x * because REASON"],
)
def test_what_is_no_consent(line: str) -> None:
    assert gate.parse(line, "me") is None
    with pytest.raises(UsageFailure) as failure:
        gate.of_options([line])
    assert failure.value.message == f"--accept: expected `RULE WHERE because REASON`; got {line!r}"


@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("x * because y", True),
        ("x clusters/a because y", True),
        ("x clusters/a:StatefulSet/emqx because y", True),
        ("x *:StatefulSet/emqx because y", True),
        ("x clusters/a until 2026-01-31 because y", True),
        ("x clusters/a until 2026-01-30 because y", False),
        ("x clusters/b because y", False),
        ("x clusters because y", False),
        ("x clusters/a:StatefulSet/other because y", False),
        ("z clusters/a because y", False),
    ],
)
def test_a_consent_opens_what_it_names(line: str, opens: bool) -> None:
    review, notes = granted(target(finding("x")), line)
    assert review.passes is opens
    assert len(review.targets[0].open) == (not opens)
    assert len(notes) == (not opens)


def test_each_finding_needs_its_own() -> None:
    both = target(finding("x"), finding("x", about="StatefulSet/other"), finding("z", "refused"), finding("n", "notice"))
    review, notes = granted(both, "x clusters/a:StatefulSet/emqx because y", "n * because it is no danger")
    assert [(found.rule, found.object) for found in review.targets[0].open] == [("x", "StatefulSet/other"), ("z", "StatefulSet/emqx")]
    assert notes == ["nothing here needs it"]
    assert not granted(both, "x * because y", "z * because y", day="")[0].targets[0].open


@pytest.mark.parametrize(
    ("until", "day", "note"),
    [
        ("2026-01-30", DAY, "it ended on 2026-01-30"),
        ("2026-01-31", "", "it holds until 2026-01-31, and there is no day to hold it against: give --date"),
    ],
)
def test_a_consent_that_has_ended_counts_for_nothing(until: str, day: str, note: str) -> None:
    review, notes = granted(target(finding("x")), f"x * until {until} because y", day=day)
    assert (review.passes, notes) == (False, [note])


def test_nobody_can_accept_a_head_that_does_not_render() -> None:
    problem = Problem("kustomize", "", "", "expected a file", "write it")
    review, _ = granted(target(finding("x"), problems=(problem,)), "x * because y", "kustomize * because y")
    assert not review.passes
    assert review.targets[0].worst == "refused"


# In commits


def with_danger(clone: Clone) -> None:
    clone.git("rm", "--quiet", "-r", "clusters/b")


CONSENT = "workload-removed clusters/b because nobody is left there"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Remove b", 1),
        (f"Remove b\n\nAccept: {CONSENT}", 0),
        (f"Remove b\n\naccept: {CONSENT}\nSigned-off-by: A <a@example.com>", 0),
        (f"Remove b\n\nAccept: {CONSENT},\n  and there are no data", 0),
        (f"Remove b\n\nAccept: {CONSENT}\n\nNot in the last paragraph.", 1),
        ("Remove b\n\nAccept: workload-removed clusters/a because of a mistake", 1),
    ],
)
def test_a_trailer_of_a_commit(clone: Clone, message: str, code: int) -> None:
    with_danger(clone)
    clone.commit(message)
    clone.commit("Something after it")
    review = clone.review()
    assert review.passes is (code == 0)
    assert all(consent.source.startswith("commit ") for _, consent in review.targets[0].consents)


def test_a_trailer_counts_for_the_commits_that_are_reviewed(clone: Clone) -> None:
    clone.git("checkout", "--quiet", "main")
    clone.commit(f"Before\n\nAccept: {CONSENT}")
    clone.git("checkout", "--quiet", "-B", "topic")
    with_danger(clone)
    clone.commit()
    assert not clone.review().passes


def test_the_exit_code_is_the_gate(clone: Clone) -> None:
    with_danger(clone)
    clone.commit("Remove b\n\nAccept: no consent at all")
    ran = clone.diff("main...HEAD")
    assert (ran.code, ran.err) == (1, "")
    unread = f"consent without effect: no consent at all (commit {clone.git('rev-parse', 'HEAD')[:12]}): expected `Accept: RULE WHERE because REASON`"
    assert ran.out.splitlines()[-2:] == [unread, "gate: shut: 1 finding needs a consent"]
    assert clone.diff("main...HEAD", "--no-gate").code == 0
    accepted = clone.diff("main...HEAD", "--accept", CONSENT)
    assert (accepted.code, accepted.out.splitlines()[-1]) == (0, "gate: open")
    assert "    accepted: nobody is left there (--accept)\n" in accepted.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", "xml"), f"--output: expected one of {', '.join(report.REPORTERS)}; got 'xml'"),
        (("--accept", "x"), "--accept: expected `RULE WHERE because REASON`; got 'x'"),
        (("--date", "soon"), "--date: expected a day, YYYY-MM-DD; got 'soon'"),
        (("one", "two", "three"), "diff: expected a range of revisions, or two folders; got 3 words"),
        (("clusters/a", "clusters/z"), "diff: expected two folders, or two rendered files; there is no clusters/z"),
        (("--mask-key-file", "none"), "--mask-key-file: expected a file that can be read; none: No such file or directory"),
        (
            ("--mask-key-file", "shared/kustomization.yaml"),
            "--mask-key-file: expected 32 bytes or more, which nobody can guess; shared/kustomization.yaml has 26",
        ),
    ],
)
def test_wrong_arguments(clone: Clone, options: tuple[str, ...], message: str) -> None:
    ran = clone.diff(*options)
    assert (ran.code, ran.out, ran.err.partition("\n")[0]) == (2, "", f"emqx-gitops: {message}")
