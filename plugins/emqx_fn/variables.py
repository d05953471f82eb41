"""Every `EMQX_…` variable of the container against what its release reads: the broker says next to nothing about a wrong one."""

from __future__ import annotations

from emqx_fn.environment import Variable
from emqx_fn.family import Version
from emqx_fn.keytable import FAMILIES, PREFIX, SCRIPT_SINCE, Key, Reader, Table, patch_of, reader, table_of
from emqx_fn.problem import Problem, nearest
from emqx_fn.values import Field, hides, is_secret, judge

_POD_KNOWS = ("<pod>", "<ip>", "<namespace>")
_SHORT = 80  # characters of a value that a fix repeats


def check(version: Version, edition: str, env: dict[str, Variable]) -> list[Problem]:
    """What the release would drop, refuse or alter."""
    return [problem for problem in _problems(version, edition, env) if problem.severity == "error"]


def advise(version: Version, edition: str, env: dict[str, Variable]) -> list[Problem]:
    """What it may drop or refuse, where the tables are not sure."""
    return [problem for problem in _problems(version, edition, env) if problem.severity == "warning"]


def _problems(version: Version, edition: str, env: dict[str, Variable]) -> list[Problem]:
    mine = [variable for name, variable in env.items() if name[:5].upper() == PREFIX]
    table = table_of(version) if mine else None
    return _Review(version, reader(version, edition), table).review(mine) if table else []


class _Review:
    """One container's variables in one release."""

    def __init__(self, version: Version, who: Reader, table: Table) -> None:
        self.version, self.reader, self.table = version, who, table
        self.problems: list[Problem] = []
        self.setters: dict[str, list[Variable]] = {}

    def bad(self, rule: str, variable: Variable, message: str, fix: str, *, sure: bool = True) -> None:
        severity = "error" if sure else "warning"
        self.problems.append(Problem(rule, variable.object, variable.path, message, fix, severity=severity))

    def review(self, variables: list[Variable]) -> list[Problem]:
        for variable in variables:
            self.one(variable)
        for path, setters in self.setters.items():
            if len(setters) > 1:
                self.twice(path, setters)
        return self.problems

    def one(self, variable: Variable) -> None:
        name = variable.name
        if not name.startswith(PREFIX):
            self.lower_case(variable)
            return
        if name in self.table.script:
            self.by_script(variable)
            return
        path = self.table.override.get(name) or self.table.path(name)
        key = self.table.find(path, self.reader)
        if key is None:
            self.unknown(variable, path)
            return
        if self.drops(key):
            self.dropped(variable, key)
            return
        self.setters.setdefault(key.proper, []).append(variable)
        if variable.value is not None and not any(part in variable.value for part in _POD_KNOWS):
            self.value(variable, key)

    def lower_case(self, variable: Variable) -> None:
        """EMQX finds its variables by their prefix in capitals."""
        from emqx_fn import misnamed

        name = variable.name.upper()
        if misnamed.known(self.table, name):
            message = f"expected {PREFIX} in capitals: EMQX {self.version} reads no other variables; got {variable.name[:5]}"
            self.bad("unknown-variable", variable, message, f"did you mean {name}?")

    def by_script(self, variable: Variable) -> None:
        since = SCRIPT_SINCE.get(variable.name, "")
        if self.later(since):
            message = f"expected a variable that EMQX {self.version} reads; {self.table.family} reads this one from {since} on"
            self.bad("other-family", variable, message, f"use EMQX {since} or newer, or remove it")

    def later(self, since: str) -> bool:
        """Whether a later patch of this minor is meant."""
        return since.startswith(f"{self.table.family}.") and self.reader.patch < patch_of(since)

    def value(self, variable: Variable, key: Key) -> None:
        verdict = judge(Field(key, self.table.family, self.table.loader, str(self.version), self.member), variable.value or "")
        if verdict:
            self.bad(verdict.rule, variable, verdict.message, verdict.fix, sure=verdict.sure)

    def member(self, path: str) -> Key | str | None:
        """What a member of an object is; the nearest name where there is none; None where the table does not list them."""
        key = self.table.find(path, self.reader)
        if key is not None:
            return None if self.drops(key) else key
        parent = self.table.find(path.rpartition(".")[0], self.reader)
        listed = {line[len(parent.pattern) + 1 :].partition("\t")[0].partition(".")[0] for line in self.table.below(parent.pattern)} if parent else set()
        if root(path) in self.table.partial or not listed:
            return None
        return nearest(path.rpartition(".")[2], sorted(listed))

    def drops(self, key: Key) -> bool:
        """Whether the release accepts a value and forgets it. Deprecated by a later patch of the same minor: not yet."""
        if "dropped" in key.marks:
            return True
        since = key.mark("deprecated")
        if not since:
            return False
        return not self.later(since) or (self.table.two_editions and self.reader.edition == "enterprise")

    def dropped(self, variable: Variable, key: Key) -> None:
        from emqx_fn import misnamed

        since = key.mark("deprecated")
        if since:
            when = f"deprecated since {since}" if since[0].isdecimal() else "deprecated"
            message = f"expected a variable with an effect: EMQX {self.version} takes {key.path} and drops its value ({when})"
            earlier = FAMILIES[: FAMILIES.index(self.table.family)]
            self.bad("dropped-variable", variable, message, self.instead(variable, [family for family in misnamed.readers(variable.name) if family in earlier]))
            return
        message = f"expected a variable with an effect: no file of EMQX {self.version} has a line for {key.path} that its entrypoint could fill in"
        self.bad("dropped-variable", variable, message, "remove it, or use EMQX 4.3 or newer")

    # -- names that the release does not read

    def unknown(self, variable: Variable, path: str) -> None:
        from emqx_fn import misnamed

        name, table = variable.name, self.table
        if root(path) in table.partial and self.root_is_there(path):
            message = f"expected a key that EMQX {self.version} is known to read; of {path.split('.', maxsplit=1)[0]} the tables list the top only"
            fix = self.near(misnamed.close_name(name, table, self.reader)) or "compare it with EMQX's own documentation"
            self.bad("unknown-variable", variable, message, fix, sure=False)
            return
        # A name that cannot be a path here is misspelt, even where another loader would take it.
        families = [family for family in misnamed.readers(name) if family != table.family] if path else []
        if misnamed.known(table, name):
            self.other_build(variable, path, families)
        elif families:
            message = f"expected a variable that EMQX {self.version} reads; got one of EMQX {misnamed.spans(families)}"
            self.bad("other-family", variable, message, self.instead(variable, families))
        else:
            message = f"expected a variable that EMQX {self.version} reads; no release reads this one, and the broker would not say so"
            fix = self.near(misnamed.close_name(name, table, self.reader)) or "remove it, or correct its name"
            self.bad("unknown-variable", variable, message, fix + self.private())

    def root_is_there(self, path: str) -> bool:
        return self.table.find(root(path), self.reader) is not None

    @staticmethod
    def near(guess: str) -> str:
        return f"did you mean {guess}?" if guess else ""

    def private(self) -> str:
        """The keys of 4.x Enterprise are not public."""
        if self.version.major > 4 or self.reader.edition != "enterprise":
            return ""
        return "; a key of EMQX Enterprise 4.x only, which no table lists, goes into spec.policy.allow"

    def other_build(self, variable: Variable, path: str, families: list[str]) -> None:
        """The same minor reads it, in another patch or in the other edition."""
        from emqx_fn import misnamed

        family = self.table.family
        key = misnamed.patches(self.table, path, self.reader)
        instead = self.instead(variable, [*families, family], or_else="")
        if key is None:
            edition = misnamed.other_edition(self.table, path, self.reader) or ("community" if self.reader.edition == "enterprise" else "enterprise")
            called = "the open-source edition" if edition == "community" else "EMQX Enterprise"
            message = f"expected a variable that EMQX {self.version} reads in this edition; only {called} {family} reads this one"
            image = "emqx/emqx-ee" if self.version.major == 4 else "emqx/emqx-enterprise"
            fix = f"remove it, or use the image {image}" if edition == "enterprise" else "remove it"
        elif key.mark("until"):
            message = f"expected a variable that EMQX {self.version} reads; {family} read this one until {key.mark('until')}"
            fix = "remove it"
        else:
            message = f"expected a variable that EMQX {self.version} reads; {family} reads this one from {key.mark('since')} on"
            fix = f"use EMQX {key.mark('since')} or newer, or remove it"
        self.bad("other-family", variable, message, instead or fix)

    def instead(self, variable: Variable, families: list[str], or_else: str = "remove it") -> str:
        from emqx_fn import misnamed

        name = variable.name
        found = misnamed.successor(name, self.table, self.reader, families)
        note = f": {found.note}" if found.note else ""
        if found.name and self.suits(variable, found.name):
            lasting = misnamed.without_history(found.note)
            return f"use {found.name}={variable.value} instead" + (f"; {lasting}" if lasting else "")
        if found.name:
            return f"use {found.name} instead{note}"
        deeper = misnamed.deeper(self.table.path(name), self.table, self.reader)
        if deeper and not note:
            return f"did you mean {deeper}?"
        if found.known:
            return f"remove it{note or ': nothing took its place'}"
        newer = [family for family in families if FAMILIES.index(family) > FAMILIES.index(self.table.family)]
        if newer and len(newer) == len(families):
            return or_else and f"{or_else}, or use EMQX {misnamed.first(name, newer[0])} or newer"
        return or_else

    def suits(self, variable: Variable, name: str) -> bool:
        """Whether a value can be shown, and stand as it is under another name."""
        value, key = variable.value, self.table.find(self.table.path(name), self.reader)
        if not value or key is None or not key.type or key.below:
            return False
        secret = hides(key, value) or is_secret(variable.name[len(PREFIX) :].lower())
        if secret or not value.isprintable() or len(value) > _SHORT or any(part in value for part in _POD_KNOWS):
            return False
        return judge(Field(key, self.table.family, self.table.loader, str(self.version), self.member), value) is None

    # -- two that mean the same

    def twice(self, path: str, setters: list[Variable]) -> None:
        """Several variables for one path; equal values do no harm."""
        override = next((variable for variable in setters if variable.name in self.table.override), None)
        first = override or setters[0]
        for variable in setters:
            if variable is first or _equal(variable, first):
                continue
            wins = "and wins" if override else "and EMQX does not say which of them wins"
            message = f"expected one variable for {path}; {first.name} sets it too, {wins}"
            self.bad("duplicate-setting", variable, message, f"remove {variable.name if override else 'one of the two'}")


def root(path: str) -> str:
    """The first segment of a path."""
    return path.partition(".")[0]


def _equal(one: Variable, other: Variable) -> bool:
    if one.value is None or other.value is None:
        return one.value is other.value and bool(one.source) and one.source == other.source
    return one.value == other.value
