"""The edge: which protocol is spoken, what is read and printed, which exit code.

A kustomize exec plugin gets its config as a file in argv and a YAML stream on stdin. A KRM function gets a ResourceList
on stdin. Output is written once, at the very end, and nothing of it on failure.
"""

from __future__ import annotations

import sys

from emqx_fn.problem import Problem, Refusal, refuse, render
from emqx_fn.run import inject
from emqx_fn.wire import Document, load, read_resource_list, read_stream, write_resource_list, write_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


KINDS = ("EmqxCluster", "EmqxPolicy")


def main(arguments: list[str]) -> int:
    """Run one protocol; 0 fine, 1 refused. Prints problems on stderr."""
    kind, config_file = [*arguments, "", ""][:2]
    try:
        output = _exec_plugin(kind, config_file) if config_file else _krm_function()
    except Refusal as refusal:
        sys.stderr.write(render(refusal.problems))
        return 1
    except RecursionError:
        sys.stderr.write(render([Problem("not-yaml", "", "", "expected YAML that a person can read: it is nested too deeply", "flatten it")]))
        return 1
    except Exception as error:  # noqa: BLE001 - a bug of ours must still fail closed, and say so in one line
        sys.stderr.write(render([_bug(error)]))
        return 1
    text, problems = output if isinstance(output, tuple) else (output, [])
    sys.stderr.write(render(problems) if problems else "")
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except OSError as error:
        sys.stderr.write(
            render(
                [
                    Problem(
                        "wrong-protocol", "", "", f"expected to write the result to stdout; {error.strerror}", "see why its reader stopped or its disk is full"
                    )
                ]
            )
        )
        return 1
    return 1 if problems else 0


def _bug(error: Exception) -> Problem:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}" if frame else "?"
    message = f"expected no failure of the plugin itself; got {type(error).__name__} at {place}: {' '.join(str(error).split())[:200]}"
    return Problem("internal-error", "", "", message, "report it with the output of `kustomize build` without the plugin")


def _read(source: str, data: bytes) -> str:
    try:
        return data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise refuse("not-yaml", "", "", "expected UTF-8 text", "save it as UTF-8", f"{source}:1:{error.start + 1}") from None


def _stdin() -> str:
    return _read("stdin", sys.stdin.buffer.read())


def _exec_plugin(kind: str, path: str) -> str:
    """kustomize's exec protocol. A validator prints nothing: kustomize takes any output for a change."""
    try:
        with open(path, "rb") as file:
            text = _read("config", file.read())
    except OSError as error:
        raise refuse(
            "wrong-protocol", "", "", f"expected a config file as the argument; {error.strerror}: {path}", "run it by `kustomize build --enable-alpha-plugins`"
        ) from None
    config = _config(load(text, "config"), kind)
    documents = read_stream(_stdin()).documents
    if config["kind"] == "EmqxPolicy":
        return _validated(documents, config)
    return write_stream(inject(documents, config))


def _validated(documents: list[Document], config: dict[str, Any]) -> str:
    from emqx_fn.policy import validate  # a render with an EmqxCluster does not need it

    problems = validate(documents, config)
    if problems:
        raise Refusal(problems)
    return ""


def _krm_function() -> str | tuple[str, list[Problem]]:
    """A KRM function: the ResourceList comes back with the items, or, refused, with the problems as results and no items."""
    stream = read_resource_list(_stdin())
    try:
        config = _config(stream.config, "")
        documents = stream.documents
        if config["kind"] == "EmqxPolicy":
            _validated(documents, config)
        else:
            documents = inject(documents, config)
        return write_resource_list(documents, stream.config_text, [])
    except Refusal as refusal:
        problems = list(refusal.problems)
        return write_resource_list([], stream.config_text, [_result(problem) for problem in problems]), problems


def _result(problem: Problem) -> dict[str, Any]:
    result: dict[str, Any] = {"message": f"{problem.message} [{problem.rule}]; fix: {problem.fix}", "severity": "error"}
    if problem.object:
        kind, _, name = problem.object.partition("/")
        result["resourceRef"] = {"kind": kind, "name": name}
    if problem.path:
        result["field"] = {"path": problem.path}
    return result


def _config(config: Any, kind: str) -> dict[str, Any]:
    found = config.get("kind") if isinstance(config, dict) else None
    if not isinstance(config, dict) or found not in KINDS or (kind and found != kind):
        wanted = kind or " or ".join(KINDS)
        got = "none" if found is None else repr(found)
        raise refuse("wrong-protocol", "", "kind", f"expected a config of kind {wanted}; got {got}", "correct the transformer's or function's config")
    return config
