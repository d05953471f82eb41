"""The forms of a report, as the command line gives them: to stdout, and into files beside."""

from __future__ import annotations

import json

from .conftest import Clone


def test_each_form_in_a_file_of_its_own(clone: Clone) -> None:
    """One look at the change gives all that a workflow needs."""
    clone.setting("a", "EMQX_MQTT__MAX_INFLIGHT=7")
    forms = ("json", "markdown", "markdown-summary", "markdown-comment", "html")
    done = clone.diff("main...HEAD", *(f"--write={form}=../{form}.out" for form in forms))
    assert done.err == ""
    assert done.out.startswith("from ")
    written = {form: (clone.path.parent / f"{form}.out").read_text() for form in forms}
    assert json.loads(written["json"])["version"] == 1
    assert all(written[form].startswith("<!-- emqx-gitops-review -->\n## ") for form in forms if form.startswith("markdown"))
    assert written["html"].startswith("<!doctype html>\n")
    assert all("EMQX_MQTT__MAX_INFLIGHT" in text for text in written.values())


def test_they_are_written_when_the_gate_is_shut_too(clone: Clone) -> None:
    clone.git("rm", "--quiet", "-r", "clusters/b")
    clone.commit()
    done = clone.diff("main...HEAD", "--output=markdown-comment", "--write=html=review.html")
    assert done.code == 1
    assert done.out.startswith("<!-- emqx-gitops-review -->\n## ⛔ EMQX gate: shut")
    assert "gate: shut" in (clone.path / "review.html").read_text()


def test_no_value_is_a_command_to_the_runner(clone: Clone) -> None:
    clone.write("shared/kustomization.yaml", "resources:\n  - broker.yaml\n  - notes.yaml\n")
    for text in ("x\n::error::y\n##[error]z\n", "w\n::error::y\n##[error]z\n"):
        clone.write("shared/notes.yaml", json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"a": text}}))
        clone.commit()
    printed = clone.diff("HEAD~1..HEAD").out
    assert "\\::error::y" in printed
    assert "#\\#[error]z" in printed


def test_what_cannot_be_written_is_said_at_once(clone: Clone) -> None:
    for words, message in {
        ("--write=markdown",): "--write: expected FORM=FILE, with a file in a folder that is there; got 'markdown'",
        ("--write=html=nowhere/x.html",): "--write: expected FORM=FILE, with a file in a folder that is there; got 'html=nowhere/x.html'",
        ("--write=pdf=x.pdf",): "--write: expected one of text, json, markdown, markdown-summary, markdown-comment, html; got 'pdf'",
        ("--write=html=x", "--write=json=x"): "--write: expected another file for each form; got x twice",
        ("--output=pdf",): "--output: expected one of text, json, markdown, markdown-summary, markdown-comment, html; got 'pdf'",
    }.items():
        done = clone.diff("main...HEAD", *words)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
