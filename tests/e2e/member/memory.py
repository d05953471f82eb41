"""What a member keeps: who it is and whom it knows, in the data folder, by its name."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path

DATA = Path("/opt/emqx/data")


class Memory:
    """Written at every change, and whole at every moment."""

    def __init__(self, name: str) -> None:
        self._folder = DATA / "mnesia" / name
        self._changing = threading.Lock()
        # Data of nodes that had other names, on the same volume: nobody reads it.
        self.others = [path.name for path in sorted(self._folder.parent.glob("*@*")) if path != self._folder]
        kept = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.id: str = kept.get("id") or uuid.uuid4().hex
        self.starts: int = kept.get("starts", 0) + 1
        self.members: list[str] = sorted({name, *kept.get("members", [])})
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write()

    @property
    def _file(self) -> Path:
        return self._folder / "member.json"

    def join(self, names: Iterable[str]) -> None:
        with self._changing:
            known = sorted({*self.members, *names})
            if known != self.members:
                self.members = known
                self._write()

    def _write(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"id": self.id, "starts": self.starts, "members": self.members}))
        new.rename(self._file)
