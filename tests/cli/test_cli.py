"""The command line itself: help, start-up, completion, where its words go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Repo

VERBS = [
    ["render"],
    ["validate"],
    ["publish"],
    ["explain"],
    ["new"],
    ["secrets"],
    ["schema"],
    ["doctor"],
    ["version"],
    ["plugin", "install"],
    ["plugin", "uninstall"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_one_line_of_help_and_an_example_that_names_it(repo: Repo, verb: list[str]) -> None:
    ran = repo.run(*verb, "--help")
    assert (ran.code, ran.err) == (0, "")
    summary = ran.out.split("\n\n")[1]
    assert "\n" not in summary
    assert f"Example: emqx-gitops {' '.join(verb)}" in ran.out


def test_the_overview_cuts_no_line(repo: Repo) -> None:
    ran = repo.run("--help", env={"COLUMNS": "80"})
    assert ran.code == 0
    assert all(f"  {verb[0]} " in ran.out for verb in VERBS)
    assert "..." not in ran.out.partition("Commands:")[2]


def test_without_arguments_it_shows_the_overview(repo: Repo) -> None:
    assert "Commands:" in repo.run().out + repo.run().err


@pytest.mark.parametrize("verb", ["import", "apply"])
def test_a_verb_that_is_not_there_is_a_wrong_argument(repo: Repo, verb: str) -> None:
    ran = repo.run(verb)
    assert (ran.code, ran.out) == (2, "")
    assert f"No such command '{verb}'" in ran.err


def test_help_and_completion_load_nothing_heavy(repo: Repo) -> None:
    script = "import sys; import emqx_gitops.cli; print(sorted({'yaml', 'ruamel', 'rich', 'json', 'emqx_gitops.rendering', 'emqx_fn.run'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=repo.env)
    # Before 0.20 typer imported rich by itself.
    assert set(eval(ran.stdout)) <= {"json"}


def test_rendering_loads_no_round_trip_yaml(repo: Repo) -> None:
    script = "import sys; import emqx_gitops.rendering, emqx_gitops.validate; print('ruamel' in sys.modules or 'ruamel.yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=repo.env).stdout == "False\n"


def test_a_shell_can_ask_for_completions(repo: Repo) -> None:
    ran = repo.run(env={"_EMQX_GITOPS_COMPLETE": "complete_bash", "COMP_WORDS": "emqx-gitops val", "COMP_CWORD": "1"})
    assert ran.out.split() == ["validate"]


def test_the_version_is_that_of_the_function(repo: Repo) -> None:
    from emqx_fn import __version__

    assert repo.run("version").out == f"emqx-gitops {__version__}\n"


def test_the_doctor_speaks_of_everything_that_a_render_needs(repo: Repo) -> None:
    ran = repo.run("doctor")
    titles = {line.split(": ")[1] for line in ran.out.splitlines() if not line.startswith("  fix: ")}
    assert {"Python", "PyYAML", "kustomize", "kubeconform", "plugin"} <= titles
    assert ran.err == ""


def test_the_doctor_fails_when_a_tool_is_missing(repo: Repo) -> None:
    ran = repo.run("doctor", env={"KUSTOMIZE": "/no/such/kustomize"})
    assert ran.code == 1
    assert "error: kustomize: there is none\n  fix: " in ran.out


def test_the_plugin_is_linked_and_unlinked(repo: Repo) -> None:
    from pathlib import Path

    link = Path(repo.env["HOME"]) / ".config" / "kustomize" / "plugin" / "emqx-gitops.dev"
    ran = repo.run("plugin", "install")
    assert (ran.code, ran.out, link.is_symlink()) == (0, "", True)
    ran = repo.run("plugin", "uninstall")
    assert (ran.code, ran.out, link.is_symlink()) == (0, "", False)


def test_a_link_of_somebody_elses_stays(repo: Repo) -> None:
    from pathlib import Path

    link = Path(repo.env["HOME"]) / ".config" / "kustomize" / "plugin" / "emqx-gitops.dev"
    link.parent.mkdir(parents=True)
    link.symlink_to(repo.path)
    ran = repo.run("plugin", "install")
    assert (ran.code, ran.out, link.resolve()) == (1, "", repo.path)
    assert ran.err.startswith("emqx-gitops: ")
    assert "fix: " in ran.err


def test_a_mistake_of_our_own_has_an_exit_code_of_its_own(repo: Repo) -> None:
    script = "from emqx_gitops import cli, project\nproject.targets = lambda *_: 1 / 0\ncli.main()"
    ran = subprocess.run(
        [sys.executable, "-c", script, "render", "overlays/persistent"], capture_output=True, text=True, check=False, env=repo.env, cwd=repo.path
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.endswith("emqx-gitops: this is a mistake in emqx-gitops itself\n  fix: please report the lines above, and what you ran\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_disk_is_one_message(repo: Repo) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            repo.command("explain", "EMQX_NODE__NAME"), stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=repo.env, cwd=repo.path
        )
    assert (ran.returncode, ran.stderr) == (
        3,
        "emqx-gitops: No space left on device\n  fix: check the file, its permissions and the space on the disk\n",
    )


def test_messages_are_words_also_in_a_poor_locale(repo: Repo) -> None:
    ran = repo.run("new", "clusters/prod", "--image", "emqx/emqx:größte", env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert ran.code == 2
    assert "Traceback" not in ran.err
