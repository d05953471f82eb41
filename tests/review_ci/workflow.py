"""`pr-review.yaml`, job by job: each `run` of it as a runner runs it, with the variables, files and the event that GitHub gives."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / ".github" / "actions" / "review"
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "pr-review.yaml").read_text(encoding="utf-8"))
COMPOSITE = yaml.safe_load((ACTION / "action.yaml").read_text(encoding="utf-8"))
# What comes from elsewhere, and set-up, which has tests of its own.
NOT_HERE = "make setup"


@dataclass(frozen=True)
class Ran:
    """How a job ended, and what its last step said."""

    code: int
    out: str
    err: str
    outputs: dict[str, str]
    summary: str


@dataclass
class Runner:
    """A machine of GitHub's: an empty workspace with what checkout brings, for each job."""

    folder: Path
    env: dict[str, str]
    event_name: str
    event: dict[str, Any]
    token: str
    needs: dict[str, Any] = field(default_factory=dict)
    run: int = 1
    attempt: int = 1
    checkout: Path | None = None  # a clone to run in, instead of one with the action only

    @property
    def temp(self) -> Path:
        return self.folder / "temp"

    def job(self, name: str) -> Ran:
        """Runs the steps of a job; the first that fails is the last. What it puts out, later jobs can read."""
        job = WORKFLOW["jobs"][name]
        workspace = self.checkout or self._workspace(name)
        self.temp.mkdir(parents=True, exist_ok=True)
        output, summary = (self._file(f"{name}-{kind}") for kind in ("output", "summary"))
        ran = Ran(0, "", "", {}, "")
        for step in job["steps"]:
            for run in self._runs(step, workspace):
                done = self._run(run, workspace, output, summary)
                ran = Ran(done.returncode, done.stdout, done.stderr, outputs(output), summary.read_text(encoding="utf-8"))
                if ran.code:
                    break
        self.needs[name] = {"result": "failure" if ran.code else "success", "outputs": ran.outputs}
        return ran

    def _workspace(self, name: str) -> Path:
        path = self.folder / "work" / name
        if not path.exists():
            shutil.copytree(ACTION, path / ".github" / "actions" / "review")
        return path

    def _file(self, name: str) -> Path:
        path = self.folder / name
        path.write_text("", encoding="utf-8")
        return path

    def _runs(self, step: dict[str, Any], workspace: Path, inputs: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """The step, or those of our action, that run a program; their expressions are worked out."""
        if not self.holds(step.get("if"), workspace):
            return []
        if step.get("uses") == "./.github/actions/review":
            given = {name: self.value(text, {}) for name, text in step["with"].items()}
            defaults = {name: about["default"] for name, about in COMPOSITE["inputs"].items()}
            return [run for inner in COMPOSITE["runs"]["steps"] for run in self._runs(inner, workspace, {**defaults, **given})]
        if "run" not in step or step["run"].startswith(NOT_HERE):
            return []
        env = {name: self.value(text, inputs or {}) for name, text in step.get("env", {}).items()}
        assert "${{" not in step["run"], "what others wrote would become part of the program"
        return [{**step, "env": env}]

    def _run(self, step: dict[str, Any], workspace: Path, output: Path, summary: Path) -> subprocess.CompletedProcess[str]:
        script = self.folder / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail"] if step.get("shell") == "bash" else ["bash", "-e"]
        event = self._file("event.json")
        event.write_text(json.dumps(self.event), encoding="utf-8")
        given = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(workspace / ".github" / "actions" / "review"),
            "GITHUB_EVENT_NAME": self.event_name,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_REPOSITORY": "example/clusters",
            "GITHUB_RUN_ATTEMPT": str(self.attempt),
            "GITHUB_RUN_ID": str(self.run),
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_STEP_SUMMARY": str(summary),
            "RUNNER_TEMP": str(self.temp),
        }
        env = {**self.env, **given, **step["env"]}
        return subprocess.run([*shell, script], cwd=workspace, env=env, capture_output=True, text=True, check=False, timeout=120)

    def holds(self, condition: str | None, workspace: Path) -> bool:
        """Whether a step runs."""
        if condition in (None, "always()"):
            return True
        found = re.fullmatch(r"hashFiles\('([^']+)'\) != ''", condition)
        assert found, condition
        return (workspace / found[1]).exists()

    def value(self, text: str, inputs: dict[str, str]) -> str:
        """A text with its expressions worked out."""
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: self._expression(found[1], inputs), str(text))

    def _expression(self, expression: str, inputs: dict[str, str]) -> str:
        if expression == "toJSON(needs)":
            return json.dumps(self.needs)
        if expression == "github.token":
            return self.token
        kind, _, rest = expression.partition(".")
        if kind == "inputs":
            return inputs[rest]
        job, _, name = rest.partition(".outputs.")
        assert kind == "needs", expression
        inner = WORKFLOW["jobs"][job]["outputs"][name]
        assert inner == f"${{{{ steps.labels.outputs.{name} }}}}", inner
        return str(self.needs[job]["outputs"].get(name, ""))


def outputs(path: Path) -> dict[str, str]:
    """The outputs in a file, as the runner reads them."""
    found: dict[str, str] = {}
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    for line in lines:
        name, _, end = line.partition("<<")
        assert end, line
        value = []
        for inner in lines:
            if inner == end:
                break
            value.append(inner)
        found[name] = "\n".join(value)
    return found


def environment(home: Path, programs: Path, api: str) -> dict[str, str]:
    """What a runner has, whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}", "GITHUB_API_URL": api, "no_proxy": "127.0.0.1"}
