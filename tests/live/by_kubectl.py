"""Any cluster that a kubeconfig leads to, through kubectl: whatever way to log in the kubeconfig names."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.client import Answer, Api, Object, Refused, Said, parsed

VERBS = {"GET": "get", "POST": "create", "DELETE": "delete"}
DONE = {"GET": 200, "POST": 201, "DELETE": 200}
# What kubectl says of an answer that is not what was asked for.
CODES = {"Unauthorized": 401, "Forbidden": 403, "NotFound": 404}


@dataclass(frozen=True)
class ByKubectl(Api):
    """A cluster by the current context of a kubeconfig, and a folder for what is not to stay."""

    program: str
    folder: Path
    seconds: float

    def kubectl(self, *arguments: str, stdin: str = "") -> Said:
        return self._run(arguments, stdin, {})

    def request(self, method: str, path: str, *, token: str = "", body: Any = None) -> Answer:
        """One HTTP request; of refusals only those in `CODES` are an answer."""
        sent = ("--filename=-", json.dumps(body)) if body is not None else ("", "")
        arguments = [one for one in (VERBS[method], "--raw", path, sent[0]) if one]
        try:
            return Answer(DONE[method], parsed(self._run(arguments, sent[1], self._as_owner_of(token)).out.encode()))
        except Refused as refused:
            return Answer(code_of(refused), str(refused))

    def _run(self, arguments: tuple[str, ...] | list[str], stdin: str, env: Mapping[str, str]) -> Said:
        own = {**os.environ, "KUBECACHEDIR": str(self.folder / "cache"), **env}
        ended = subprocess.run([self.program, *arguments], input=stdin, env=own, capture_output=True, text=True, timeout=self.seconds)
        if ended.returncode:
            raise Refused(ended.stderr)
        return Said(ended.stdout, ended.stderr)

    def _as_owner_of(self, token: str) -> dict[str, str]:
        """A kubeconfig without the administrator's certificate, which would come before any token."""
        if not token:
            return {}
        config = self.folder / "token.kubeconfig"
        config.touch(mode=0o600)
        config.write_text(json.dumps({**self._config, "users": [{"name": one["name"], "user": {"token": token}} for one in self._config["users"]]}))
        return {"KUBECONFIG": str(config)}

    @cached_property
    def _config(self) -> Object:
        found: Object = json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json").out)
        return found


def code_of(refused: Refused) -> int:
    """The HTTP code that the message means; any other refusal goes on its way."""
    for reason in re.findall(r"\((\w+)\)", str(refused)):
        if reason in CODES:
            return CODES[reason]
    raise refused
