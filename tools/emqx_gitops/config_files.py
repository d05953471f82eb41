"""Configuration files of EMQX that a ConfigMap brings into its container -> problems, each with the line that causes it.

Every setting is checked as the variable that would set the same path, and against the variables of the container, which beat every file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from emqx_fn import graph as g
from emqx_fn import hocon, keytable, variables
from emqx_fn.case import Case
from emqx_fn.environment import Variable, inline_secrets
from emqx_fn.graph import Graph, Object
from emqx_fn.keytable import Key
from emqx_fn.policy import case_in
from emqx_fn.problem import Problem, Refusal
from emqx_fn.values import hides
from emqx_fn.wire import read_stream
from emqx_gitops import config_text
from emqx_gitops.config_text import Malformed, Place, Setting

if TYPE_CHECKING:
    from emqx_fn.keytable import Table
    from emqx_fn.policy import Review

_ETC = "/opt/emqx/etc/"
_FOLDERS = (_ETC, "/opt/emqx/data/configs/")
_HOCON_FILES = ("emqx.conf", "cluster-override.conf", "local-override.conf")
_STOCK_SECRETS = ("public", "emqxsecretcookie", "emqxsecret")
_VARIABLE = re.compile(r"EMQX_[A-Z0-9]\w*")


class _File(NamedTuple):
    """A key of a ConfigMap that is a configuration file in the container."""

    config: Object
    key: str

    def problem(self, rule: str, message: str, fix: str, at: Place, path: str = "") -> Problem:
        """A problem of a setting, or of the file; `Origin` turns the place in it into one in a source."""
        return Problem(rule, str(self.config), f"data[{self.key}]{path and '.'}{path}", message, fix, f"+{at.line}:{at.column}")


class _Found(NamedTuple):
    """A problem, and the variable that a waiver would name."""

    problem: Problem
    variable: str = ""


def review(before: Review, stream: str) -> Review:
    """A review, with what is wrong in the files that the stream's ConfigMaps hold."""
    after = before._replace(problems=[*before.problems], warnings=[*before.warnings], waived=[*before.waived])
    for problem, variable in dict.fromkeys(_check(stream)):
        asked = problem._replace(path=f"[{variable}]") if variable else problem
        waiver = next((waiver for waiver in before.allow if waiver.covers(asked)), None)
        if problem.severity == "warning":
            after.warnings.append(problem)
        elif waiver:
            after.waived.append((problem, waiver))
        else:
            after.problems.append(problem)
    return after


def unread(stream: str) -> list[Problem]:
    """Files that are not checked, because there is no parser for them in this Python."""
    if config_text.can_read_hocon():
        return []
    message = "expected Python 3.11 or newer, which the parser of HOCON needs: this file is not checked"
    fix = "run emqx-gitops by a newer Python"
    found = (file.problem("config-not-read", message, fix, Place(1, 1)) for case, file in _mounted(stream) if _is_hocon(case))
    return [problem._replace(severity="warning") for problem in dict.fromkeys(found)]


def _is_hocon(case: Case) -> bool:
    return case.s.version.major >= 5


def _check(stream: str) -> Iterator[_Found]:
    for case, file in _mounted(stream):
        if not _is_hocon(case) or config_text.can_read_hocon():
            yield from _file(case, file)


def _mounted(stream: str) -> Iterator[tuple[Case, _File]]:
    try:
        graph = Graph(read_stream(stream).documents, final=True)
        found = g.candidates(graph)
    except Refusal:
        return  # what is wrong there has been said
    for workload in found:
        try:
            case = case_in(graph, workload)
            yield from [(case, file) for file in _files(case)]
        except Refusal:
            continue  # what is wrong there has been said


# -- which files


def _files(case: Case) -> Iterator[_File]:
    volumes = {g.text(volume, "name"): volume for volume in g.items(g.pod_spec(case.workload), "volumes")}
    for mount in g.items(case.container, "volumeMounts"):
        volume = volumes.get(g.text(mount, "name"), {})
        for source in (volume, *g.items(volume, "projected", "sources")):
            config = case.graph.resolve("ConfigMap", g.text(source, "configMap", "name"), case.workload)
            if config is None:
                continue
            for key, name in _keys(config, g.mapping(source, "configMap")):
                if _is_settings(_lands(mount, name), case.s.version.major):
                    yield _File(config, key)


def _keys(config: Object, source: dict[str, Any]) -> list[tuple[str, str]]:
    """The keys that a volume shows, and the file names under which it does."""
    data = g.mapping(config.data, "data")
    if "items" in source:
        return [(g.text(item, "key"), g.text(item, "path")) for item in g.items(source, "items") if g.text(item, "key") in data]
    return [(key, key) for key in map(str, data)]


def _lands(mount: dict[str, Any], name: str) -> str:
    """Where a file of a volume is in the container; empty where the mount leaves it out."""
    folder, part = posixpath.normpath(g.text(mount, "mountPath")), g.text(mount, "subPath").strip("/")
    if not part:
        return f"{folder}/{name}"
    return folder + name[len(part) :] if name == part or name.startswith(f"{part}/") else ""


def _is_settings(path: str, major: int) -> bool:
    name = posixpath.basename(path)
    if major < 5:
        return path == f"{_ETC}emqx.conf" or (path.startswith(f"{_ETC}plugins/") and name.endswith(".conf"))
    return path.startswith(_FOLDERS) and (name in _HOCON_FILES or name.endswith(".hocon"))


# -- one file


def _file(case: Case, file: _File) -> Iterator[_Found]:
    text = str(g.mapping(file.config.data, "data").get(file.key) or "")
    try:
        settings = config_text.hocon(text) if _is_hocon(case) else config_text.lines(text)
    except Malformed as error:
        fix = f"correct the line: EMQX {case.s.version} does not start with it"
        yield _Found(file.problem("config-syntax", str(error), fix, error.at))
        return
    table = keytable.table_of(case.s.version)
    if table:
        known = [setting for setting in settings if _can_be_told(table, setting)]
        yield from _by_tables(case, file, table, known)
        yield from _set_twice(case, file, table, known)
        yield from _inline_secrets(case, file, table, known)


def _can_be_told(table: Table, setting: Setting) -> bool:
    """Whether the tables know about files what they know about variables: in 4.1 and 4.2, a file may set what no variable can."""
    key = table.find(setting.path, None)
    return "__" not in setting.path and not (table.loader == "sed" and key and "dropped" in key.marks)


def _by_tables(case: Case, file: _File, table: Table, settings: list[Setting]) -> Iterator[_Found]:
    # The path of each variable is the number of its setting, by which its problem finds back to it.
    named = {keytable.variable(setting.path): (number, setting) for number, setting in enumerate(settings)}
    asked = {name: Variable(name, setting.text, {}, str(file.config), str(number)) for name, (number, setting) in named.items()}
    for find in (variables.check, variables.advise):
        for problem in find(case.s.version, case.s.edition, asked):
            setting = settings[int(problem.path)]
            if problem.rule == "unsafe-value" and table.loader == "sed":
                continue  # what the entrypoint's sed does to a variable
            message, fix = _of_file(problem.message, table), _of_file(problem.fix, table)
            found = file.problem(problem.rule, message, fix, setting.at, setting.path)._replace(severity=problem.severity)
            yield _Found(found, keytable.variable(setting.path))


def _of_file(text: str, table: Table) -> str:
    """Words about a variable as words about a setting of a file."""
    words = _VARIABLE.sub(lambda match: table.path(match[0]) or match[0], text)
    return words.replace(", and the broker would not say so", "").replace("variable", "setting")


def _set_twice(case: Case, file: _File, table: Table, settings: list[Setting]) -> Iterator[_Found]:
    who = keytable.reader(case.s.version, case.s.edition)
    for setting, variable in _also_set(case, table, settings):
        key = table.find(setting.path, who) or Key(setting.path, setting.path)
        if variable is None or variable.value is None or setting.text is None or _same(setting.text, variable.value):
            continue
        hidden = any(hides(key, text) for text in (setting.text, variable.value))
        got, wins = ("another value", "its value") if hidden else (repr(setting.text), repr(variable.value))
        message = f"expected {wins}, which {variable.name} sets in {variable.object} and which wins over every file; got {got}"
        found = file.problem("set-twice", message, f"remove this line, or {variable.name} if somebody set it by hand", setting.at, setting.path)
        yield _Found(found, variable.name)


def _also_set(case: Case, table: Table, settings: list[Setting]) -> Iterator[tuple[Setting, Variable | None]]:
    """Each setting, with the variable that sets the same path."""
    who = keytable.reader(case.s.version, case.s.edition)

    def proper(path: str) -> str:
        key = table.find(path, who)
        return key.proper if key else path

    mine = [variable for name, variable in case.env.items() if name.startswith(keytable.PREFIX) and name not in table.script]
    # Last, because they win: the special variables, such as EMQX_NODE_NAME.
    mine.sort(key=lambda variable: variable.name in table.override)
    by_path = {proper(table.override.get(variable.name) or table.path(variable.name)): variable for variable in mine}
    return ((setting, by_path.get(proper(setting.path))) for setting in settings)


def _inline_secrets(case: Case, file: _File, table: Table, settings: list[Setting]) -> Iterator[_Found]:
    """Secrets in clear; not EMQX's own defaults where a variable wins over them, as it does in a copy of its file."""
    for setting, variable in _also_set(case, table, settings):
        name = keytable.variable(setting.path)
        stock = variable is not None and (setting.text or "").strip('"') in _STOCK_SECRETS
        if not stock and setting.path != "license.key":  # which another rule finds in any text
            for problem in inline_secrets({name: Variable(name, setting.text, {}, "", "")}):
                yield _Found(file.problem(problem.rule, problem.message, problem.fix, setting.at, setting.path), name)


def _same(one: str, other: str) -> bool:
    values = [hocon.read(text) for text in (one, other)]
    if {value.kind for value in values} & {"unknown"}:
        return True
    plain = [_plain(value) for value in values]
    if sum(value.kind == "array" for value in values) == 1:  # a list is also written with commas
        plain = [[part.strip() for part in value.split(",")] if isinstance(value, str) else value for value in plain]
    return bool(plain[0] == plain[1])


def _plain(value: hocon.Value) -> Any:
    """A value without its spelling: quotes, or the address of all interfaces before a port."""
    if value.kind == "array":
        return [_plain(item) for item in value.data]
    if value.kind == "object":
        return {key: _plain(item) for key, item in value.data}
    return str(value.data).removeprefix("0.0.0.0").removeprefix(":")
