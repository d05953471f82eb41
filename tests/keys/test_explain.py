"""`emqx-gitops explain` of a variable or a path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emqx_fn.family import DISCOVERY_VARIABLES
from emqx_fn.keytable import FAMILIES
from emqx_gitops import explain_key

from .test_variables import all_settings, plan

EXPLAINED = {
    "EMQX_CLUSTER__K8S__SUFFIX": """\
EMQX_CLUSTER__K8S__SUFFIX, in configuration files cluster.k8s.suffix
  4.1 to 4.4: text; default empty
  5.0 to 6.3: text; default pod.local
  The plugin sets it, where the release reads it, from spec.discovery.clusterDomain.
""",
    "cluster.discovery": """\
EMQX_CLUSTER__DISCOVERY, in configuration files cluster.discovery
  4.1 to 4.4: one of manual, static, mcast, dns, etcd, k8s; default manual
  5.0 to 6.3: called EMQX_CLUSTER__DISCOVERY_STRATEGY; value mcast is gone from 5.4, singleton exists from 5.8
  The plugin sets it, where the release reads it, from spec.discovery.strategy.
""",
    "cluster.mcast.addr": """\
EMQX_CLUSTER__MCAST__ADDR, in configuration files cluster.mcast.addr
  4.1 to 5.3: text; default 239.192.0.1
  5.4 to 6.3: no such variable; multicast discovery removed in 5.4
""",
    "node.role": """\
EMQX_NODE__ROLE, in configuration files node.role
  4.1 to 4.4: no such variable
  5.0: one of core, replicant; default core; from 5.0.23 on
  5.1 to 5.7, 5.9 to 6.3: one of core, replicant; default core
  5.8: core; default core; open-source edition
  5.8: one of core, replicant; default core; Enterprise only
""",
    "EMQX_ADMIN_PASSWORD": """\
EMQX_ADMIN_PASSWORD, in configuration files dashboard.default_user.password
  4.1 to 4.4: text; sets dashboard.default_user.password; wins over EMQX_DASHBOARD__DEFAULT_USER__PASSWORD
  5.0 to 6.3: called EMQX_DASHBOARD__DEFAULT_PASSWORD
""",
    "EMQX_SECURITY_PROFILE": """\
EMQX_SECURITY_PROFILE
  4.1 to 6.1: no such variable
  6.2: read by the start script; from 6.2.1 on
  6.3: read by the start script
""",
    "listeners.tcp.mine.enabled": """\
EMQX_LISTENERS__TCP__MINE__ENABLED, in configuration files listeners.tcp.mine.enabled
  4.1 to 4.4: no such variable
  5.0: true or false; default true
  5.1 to 6.3: true or false; default true; another spelling of EMQX_LISTENERS__TCP__MINE__ENABLE
  The plugin sets it, where the release reads it, from spec.listeners.
""",
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_explain(name: str) -> None:
    assert explain_key.explain(name) == EXPLAINED[name]


def test_facts_are_json() -> None:
    facts: dict[str, Any] | None = explain_key.facts("EMQX_CLUSTER__DNS__RECORD_TYPE")
    assert json.loads(json.dumps(facts)) == {
        "variable": "EMQX_CLUSTER__DNS__RECORD_TYPE",
        "path": "cluster.dns.record_type",
        "families": [
            {"families": "5.0 to 5.5", "type": "enum(a,srv)", "words": "one of a, srv", "default": "a"},
            {"families": "5.6 to 6.3", "type": "enum(a,aaaa,srv)", "words": "one of a, aaaa, srv", "default": "a"},
        ],
        "elsewhere": [{"families": "4.1 to 4.3"}, {"families": "4.4", "variable": "EMQX_CLUSTER__DNS__TYPE"}],
        "set_by_plugin_from": "spec.discovery.recordType",
    }


def test_unknown() -> None:
    assert explain_key.explain("EMQX_FOO__BAR") is None
    assert explain_key.facts("") is None
    assert explain_key.nearest("cluster.k9s.suffix") == "EMQX_CLUSTER__K8S__SUFFIX"
    assert explain_key.nearest("EMQX_CLUSTER__DISCOVERI") == "EMQX_CLUSTER__DISCOVERY"


def test_what_the_plugin_sets_is_explained_as_such() -> None:
    names = set(DISCOVERY_VARIABLES)
    for family in FAMILIES:
        names |= {entry.name for s in all_settings(family) for entry in [*plan.environment(s), *plan.unused_listeners(s, set())]}
    for name in sorted(name for name in names if name.startswith("EMQX_")):
        facts = explain_key.facts(name)
        assert facts, name
        assert facts.get("set_by_plugin_from"), name
