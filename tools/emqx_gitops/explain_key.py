"""A variable or a configuration path -> what every EMQX family makes of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from emqx_fn import misnamed
from emqx_fn.family import LATEST
from emqx_fn.keytable import EDITIONS, FAMILIES, NEWEST, PREFIX, SCRIPT_SINCE, Reader, Table, table, variable
from emqx_fn.values import is_secret, words

# What the plugin sets by itself, and from which field of the settings; emqx_fn.plan is where it does.
_DERIVED: tuple[tuple[str, str], ...] = (
    (r"EMQX_NAME", "spec.node.name"),
    (r"EMQX_HOST", "spec.discovery.addressType and spec.discovery.clusterDomain"),
    (r"EMQX_NODE__COOKIE", "spec.node.cookie"),
    (r"EMQX_CLUSTER__DISCOVERY(_STRATEGY)?", "spec.discovery.strategy"),
    (r"EMQX_CLUSTER__K8S__APP_NAME|EMQX_CLUSTER__DNS__APP", "spec.node.name"),
    (r"EMQX_CLUSTER__K8S__ADDRESS_TYPE", "spec.discovery.addressType"),
    (r"EMQX_CLUSTER__K8S__SUFFIX", "spec.discovery.clusterDomain"),
    (r"EMQX_CLUSTER__K8S__SERVICE_NAME|EMQX_CLUSTER__DNS__NAME", "the Service that selects the members"),
    (r"EMQX_CLUSTER__K8S__NAMESPACE", "the namespace of the pods"),
    (r"EMQX_CLUSTER__K8S__APISERVER", "the name that the API server has inside every cluster"),
    (r"EMQX_CLUSTER__DNS__(RECORD_)?TYPE", "spec.discovery.recordType"),
    (r"EMQX_CLUSTER__AUTOCLEAN", "spec.discovery.autoclean"),
    (r"EMQX_CLUSTER__AUTOHEAL", "spec.discovery.autoheal"),
    (r"EMQX_CLUSTER__PROTO_DIST|EMQX_RPC__(TCP_SERVER_IP|LISTEN_ADDRESS|IPV6_ONLY)|EMQX_(DASHBOARD|MANAGEMENT)__LISTENERS?__HTTP__INET6", "spec.ipFamily"),
    (r"EMQX_RPC__PORT_DISCOVERY", "the port between members, 5369 in every release"),
    (r"EMQX_LISTENERS__(TCP|SSL|WS|WSS|QUIC)__\w+__(BIND|ENABLED?|SSL_OPTIONS__(CERTFILE|KEYFILE))", "spec.listeners"),
    (r"EMQX_LISTENER__(TCP|SSL|WS|WSS)__[A-Z0-9_]+?(__(CERTFILE|KEYFILE))?", "spec.listeners"),
    (r"EMQX_DASHBOARD__LISTENERS?__HTTP(__BIND)?", "spec.dashboard.port"),
    (r"EMQX_DASHBOARD__DEFAULT_(USER__)?PASSWORD|EMQX_MANAGEMENT__DEFAULT_APPLICATION__SECRET", "spec.dashboard.password"),
    (r"EMQX_LICENSE__(KEY|FILE)", "spec.license"),
)


def facts(name: str) -> dict[str, Any] | None:
    """What is known of a variable (`EMQX_…`) or a path (`cluster.k8s.suffix`), for JSON; None where no family has it."""
    rows = _rows(name)
    if not rows:
        return None
    asked = _asked(name)
    families = [family for family in FAMILIES if any(family in row["families"] for row in rows)]
    answer: dict[str, Any] = {"variable": asked}
    newest = table(families[-1])
    path = newest.override.get(asked) or ("" if asked in newest.script else newest.path(asked))
    answer |= {"path": path} if path else {}
    answer["families"] = [row | {"families": misnamed.spans(row["families"])} for row in rows]
    answer["elsewhere"] = _elsewhere(asked, families)
    source = _derived(asked)
    return answer | ({"set_by_plugin_from": source} if source else {})


def explain(name: str) -> str | None:
    """The same as text."""
    known = facts(name)
    if known is None:
        return None
    path = known.get("path", "")
    lines = [f"{known['variable']}, in configuration files {path}" if path else known["variable"]]
    told = [(row["families"], _sentence(row)) for row in known["families"]] + [(other["families"], _moved(other)) for other in known["elsewhere"]]
    told.sort(key=lambda line: FAMILIES.index(line[0].partition(",")[0].partition(" ")[0]))
    lines += [f"  {families}: {sentence}" for families, sentence in told]
    if "set_by_plugin_from" in known:
        lines.append(f"  The plugin sets it, where the release reads it, from {known['set_by_plugin_from']}.")
    return "\n".join(lines) + "\n"


def nearest(name: str) -> str:
    """The variable that an unknown name was probably meant to be, in the newest family that has a near one; or empty."""
    asked = _asked(name)
    return next((guess for family in reversed(FAMILIES) if (guess := misnamed.close_name(asked, table(family), NEWEST["enterprise"]))), "")


def _asked(name: str) -> str:
    """The variable that was asked for, also by its path."""
    return name if name.startswith(PREFIX) else variable(name.strip().lower())


def _rows(name: str) -> list[dict[str, Any]]:
    """What holds for which families, those with the same facts together."""
    asked = _asked(name)
    rows: list[dict[str, Any]] = []
    for family in FAMILIES:
        for fact in _of_family(table(family), asked):
            same = next((row for row in rows if {key: value for key, value in row.items() if key != "families"} == fact), None)
            if same:
                same["families"].append(family)
            else:
                rows.append({"families": [family], **fact})
    return rows


def _of_family(source: Table, name: str) -> list[dict[str, Any]]:
    if name in source.script:
        since = SCRIPT_SINCE.get(name, "")
        return [{"read_by": "the start script"} | ({"since": since} if since.startswith(f"{source.family}.") else {})]
    path = source.override.get(name) or source.path(name)
    found = {edition: _fact(source, path, edition) for edition in (EDITIONS if source.two_editions else EDITIONS[1:])}
    wins = {"sets": path, "wins_over": variable(path)} if name in source.override else {}
    if len(found) == 2 and found["community"] == found["enterprise"]:
        found.pop("enterprise")
        return [fact | wins for fact in found.values() if fact]
    return [fact | ({"edition": edition} if source.two_editions else {}) | wins for edition, fact in found.items() if fact]


def _fact(source: Table, path: str, edition: str) -> dict[str, Any]:
    key = source.find(path, NEWEST[edition]) or source.find(path, Reader(edition, 0))
    if key is None:
        return {}
    fact: dict[str, Any] = {"type": key.type or "object", "words": words(key.type, old=source.loader != "hocon")}
    if key.below:
        fact = {"words": f"part of {key.pattern}, whose members are not listed"}
    elif key.has_default and not is_secret(path, key.type):
        fact["default"] = key.default
    marks = {"since": key.mark("since"), "until": key.mark("until"), "deprecated": key.mark("deprecated")}
    fact |= {name: value for name, value in marks.items() if value}
    fact |= {name: True for name in ("dropped", "upcoming") if name in key.marks}
    return fact | ({"alias_of": key.proper} if key.proper != path else {})


_PARTS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("read_by", lambda value: f"read by {value}"),
    ("words", str),
    ("default", lambda value: "a default of its own" if value == "..." else f"default {value}" if value else "default empty"),
    ("sets", lambda value: f"sets {value}"),
    ("wins_over", lambda value: f"wins over {value}"),
    ("edition", lambda value: "Enterprise only" if value == "enterprise" else "open-source edition"),
    ("since", lambda value: f"from {value} on"),
    ("until", lambda value: f"until {value}"),
    ("alias_of", lambda value: f"another spelling of {variable(value)}"),
    ("deprecated", lambda value: f"accepted and dropped, deprecated since {value}" if value[0].isdecimal() else "accepted and dropped, deprecated"),
    ("dropped", lambda _: "dropped by the entrypoint"),
    ("upcoming", lambda _: "on the release branch only"),
)


def _sentence(row: dict[str, Any]) -> str:
    return "; ".join(write(row[name]) for name, write in _PARTS if name in row)


def _elsewhere(name: str, families: list[str]) -> list[dict[str, str]]:
    """What it is called in the families before the first that has it and after the last, and why where it is gone."""
    first, last = FAMILIES.index(families[0]), FAMILIES.index(families[-1])
    result = []
    for side, beside in ((FAMILIES[:first], first - 1), (FAMILIES[last + 1 :], last + 1)):
        if side:
            found = misnamed.successor(name, table(FAMILIES[beside]), Reader("enterprise", LATEST), families)
            there = [family for family in side if found.name and misnamed.known(table(family), found.name)]
            without = [family for family in side if family not in there]
            for part, entry in ((without, {"note": "" if found.name else found.note}), (there, {"variable": found.name, "note": found.note})):
                told = {"families": misnamed.spans(part), **entry}
                result += [{key: value for key, value in told.items() if value}] if part else []
    return result


def _moved(other: dict[str, str]) -> str:
    called = f"called {other['variable']}" if "variable" in other else "no such variable"
    return f"{called}; {other['note']}" if "note" in other else called


def _derived(name: str) -> str:
    return next((source for pattern, source in _DERIVED if re.fullmatch(pattern, name)), "")
