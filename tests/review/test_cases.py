"""Golden cases: `base/` and `head/` side by side, and the whole report in `expected.txt`; in `expected.json` where that lies there too.

`make update-goldens ARGS='-k name-of-the-folder'` writes the expectations anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import ROOT, review, told

FORMS = {"expected.txt": "text", "expected.json": "json"}
CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_case(folder: Path, update_goldens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = review(folder)
    goldens = [folder / name for name in FORMS if name == "expected.txt" or (folder / name).exists()]
    for golden in goldens:
        said = told(found, FORMS[golden.name]).replace(folder.relative_to(ROOT).as_posix(), "CASE")
        if update_goldens:
            golden.write_text(said)
        assert said == golden.read_text()
