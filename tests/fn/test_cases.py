"""Golden cases of the function: one folder each, `config.yaml` and `input.yaml`, and `expected.yaml` or `errors.txt`.

`make update-goldens` writes the expectations anew; every change of one is read in review.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted(path.parent for path in (Path(__file__).parent / "cases").rglob("input.yaml"))


def run_function(config: Path, stream: bytes) -> subprocess.CompletedProcess[bytes]:
    kind = yaml.safe_load(config.read_text())["kind"]
    command = [sys.executable, "-I", str(ROOT / "plugins" / "emqx_fn" / "__main__.py"), kind, str(config)]
    return subprocess.run(command, input=stream, capture_output=True, check=False, timeout=60)


def test_there_are_cases() -> None:
    assert len(CASES) > 60


@pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.relative_to(Path(__file__).parent / "cases")))
def test_case(case: Path, *, update_goldens: bool) -> None:
    result = run_function(case / "config.yaml", (case / "input.yaml").read_bytes())
    refused = result.returncode != 0
    golden = case / ("errors.txt" if refused else "expected.yaml")
    actual = (result.stderr if refused else result.stdout).decode().replace(str(ROOT), "/clone")
    if update_goldens:
        for name in ("errors.txt", "expected.yaml"):
            (case / name).unlink(missing_ok=True)
        golden.write_text(actual)
    assert golden.exists(), f"it {'refused' if refused else 'passed'}: {actual}"
    assert actual == golden.read_text()
    assert (result.stdout if refused else result.stderr) == b""
    assert "internal-error" not in actual


@pytest.mark.parametrize("case", [path for path in CASES if (path / "expected.yaml").exists()], ids=lambda path: path.name)
def test_a_second_run_changes_nothing(case: Path) -> None:
    first = (case / "expected.yaml").read_bytes()
    assert run_function(case / "config.yaml", first).stdout.decode() == first.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_result_that_cannot_be_written_is_refused() -> None:
    case = next(path for path in CASES if (path / "expected.yaml").exists())
    command = [sys.executable, "-I", str(ROOT / "plugins" / "emqx_fn" / "__main__.py"), "EmqxCluster", str(case / "config.yaml")]
    with Path("/dev/full").open("w") as full, (case / "input.yaml").open() as stream:
        done = subprocess.run(command, stdin=stream, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "emqx-gitops: 1 problem, nothing was written\n"
        "expected to write the result to stdout; No space left on device [wrong-protocol]\n"
        "  fix: see why its reader stopped or its disk is full\n"
    )
