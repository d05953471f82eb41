"""What each EMQX release reads, listens on and needs: one table, read from the oldest release down.

Sources: the entrypoints, schemas and charts of the releases themselves, collected in docs/emqx-families.md.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


OLDEST = (4, 1, 0)
NEWEST = (6, 3)
SUPPORTED = "4.1 to 4.4, 5.0 to 5.10, 6.0 to 6.3"


class Version(NamedTuple):
    """An EMQX release. `patch` is `LATEST` where a tag names the minor only (`5.8`)."""

    major: int
    minor: int
    patch: int
    candidate: str = ""  # a release candidate as its tag calls it: `4.1-rc.1`, and patch 0

    def __str__(self) -> str:
        patch = "" if self.patch == LATEST else f".{self.patch}"
        return self.candidate or f"{self.major}.{self.minor}{patch}"


LATEST = 999


class Mount(NamedTuple):
    """Where the data volume goes. Its layout is the same for every family: the volume is `/opt/emqx/data`."""

    path: str
    sub_path: str


class Family(NamedTuple):
    """How one EMQX release is configured. Variables are whole names; `{type}` and `{name}` are a listener's."""

    strategy: str  # variable that chooses the discovery strategy
    other_strategies: tuple[str, ...]  # besides k8s and dns: these ask no Service
    app_names: tuple[str, ...]  # variables that repeat the node name's part before "@", by strategy: k8s, dns
    record_type: str  # variable of the DNS record type; empty: A records only
    record_types: tuple[str, ...]
    switch: tuple[str, str]  # how a setting is switched on and off
    rpc_manual: bool  # gen_rpc would choose another port than 5369 unless told
    rpc_listen: tuple[tuple[str, str], ...]  # variables that make gen_rpc listen on IPv6; empty: it cannot
    bind: str  # variable of a listener's address
    listener_enable: str  # variable that switches a listener off; empty: it has none
    first_listener: str  # name of the listener of each type that the release starts by itself
    named_listeners: bool  # a second listener of a type can be added by a variable
    tls: str  # variable prefix of a listener's certificate files
    quic_tls: str  # the same of a quic listener
    quic: bool
    dashboard_bind: str
    dashboard_inet6: tuple[str, ...]
    management_port: int  # port of the 4.x HTTP API; 0: the dashboard's port serves it
    dashboard_password: str
    api_secret: str  # variable of the default API credentials' secret, which ship as admin/public
    status_path: str  # answers without authentication
    nodes_path: str  # of the HTTP API: the nodes that a member knows, and which of them run
    api_user: str  # variable of the name that goes with `api_secret`, or with the dashboard's password where the HTTP API takes that
    api_key_file: str  # variable of the file whose API keys a member takes over at each start; empty: none
    mount: Mount
    pre_stop: tuple[str, ...]  # the container's first process ignores TERM
    license_variable: str
    single_node_license: bool  # more than one node needs a licence key, whatever the edition

    @property
    def status_port(self) -> str:
        """Name of the container port that answers `status_path`."""
        return "mgmt" if self.management_port else "dashboard"


_EMQX_4_1 = Family(
    strategy="EMQX_CLUSTER__DISCOVERY",
    other_strategies=("manual", "static", "mcast", "etcd"),
    app_names=("EMQX_CLUSTER__K8S__APP_NAME", "EMQX_CLUSTER__DNS__APP"),
    record_type="",
    record_types=("a",),
    switch=("on", "off"),
    rpc_manual=False,
    rpc_listen=(),
    bind="EMQX_LISTENER__{type}__{name}",
    listener_enable="",
    first_listener="EXTERNAL",
    named_listeners=False,
    tls="EMQX_LISTENER__{type}__{name}__",
    quic_tls="",
    quic=False,
    dashboard_bind="EMQX_DASHBOARD__LISTENER__HTTP",
    dashboard_inet6=("EMQX_DASHBOARD__LISTENER__HTTP__INET6", "EMQX_MANAGEMENT__LISTENER__HTTP__INET6"),
    management_port=8081,
    dashboard_password="EMQX_DASHBOARD__DEFAULT_USER__PASSWORD",
    api_secret="EMQX_MANAGEMENT__DEFAULT_APPLICATION__SECRET",
    status_path="/status",
    nodes_path="/api/v4/nodes",
    api_user="EMQX_MANAGEMENT__DEFAULT_APPLICATION__ID",
    api_key_file="",
    # The images of these releases keep loaded_plugins in data/: an empty volume over it would start without HTTP API and dashboard.
    mount=Mount("/opt/emqx/data/mnesia", "mnesia"),
    # start.sh is the first process and has no TERM trap: without this the kubelet kills the broker after the grace period.
    pre_stop=("/opt/emqx/bin/emqx", "stop"),
    license_variable="",
    single_node_license=False,
)

# Each row: from this release on, what is different. Rows are in order; a release has all rows up to its own.
_CHANGES: tuple[tuple[Version, dict[str, Any]], ...] = (
    (Version(4, 2, 0), {"rpc_manual": True}),
    (
        Version(4, 3, 0),
        {
            "rpc_manual": False,  # the entrypoint exports it
            "rpc_listen": (("EMQX_RPC__TCP_SERVER_IP", "::"),),
            "named_listeners": True,
            "pre_stop": (),  # the broker itself is the first process
        },
    ),
    (Version(4, 4, 0), {"record_type": "EMQX_CLUSTER__DNS__TYPE", "record_types": ("a", "srv")}),
    # From here an empty data/ gets the default list of plugins.
    (Version(4, 4, 8), {"mount": Mount("/opt/emqx/data", "")}),
    (
        Version(5, 0, 0),
        {
            "strategy": "EMQX_CLUSTER__DISCOVERY_STRATEGY",
            "app_names": (),
            "record_type": "EMQX_CLUSTER__DNS__RECORD_TYPE",
            "switch": ("true", "false"),
            "rpc_listen": (),
            "bind": "EMQX_LISTENERS__{type}__{name}__BIND",
            "listener_enable": "EMQX_LISTENERS__{type}__{name}__ENABLED",
            "first_listener": "DEFAULT",
            "tls": "EMQX_LISTENERS__{type}__{name}__SSL_OPTIONS__",
            "quic_tls": "EMQX_LISTENERS__{type}__{name}__",
            "quic": True,
            "dashboard_bind": "EMQX_DASHBOARD__LISTENERS__HTTP__BIND",
            "dashboard_inet6": ("EMQX_DASHBOARD__LISTENERS__HTTP__INET6",),
            "management_port": 0,
            "dashboard_password": "EMQX_DASHBOARD__DEFAULT_PASSWORD",
            "api_secret": "",
            "status_path": "/api/v5/status",
            "nodes_path": "/api/v5/nodes",
            "api_user": "EMQX_DASHBOARD__DEFAULT_USERNAME",
            "license_variable": "EMQX_LICENSE__KEY",
        },
    ),
    (Version(5, 0, 10), {"status_path": "/status"}),
    (Version(5, 0, 14), {"api_key_file": "EMQX_API_KEY__BOOTSTRAP_FILE"}),
    (Version(5, 0, 18), {"quic_tls": "EMQX_LISTENERS__{type}__{name}__SSL_OPTIONS__"}),
    (Version(5, 1, 0), {"listener_enable": "EMQX_LISTENERS__{type}__{name}__ENABLE"}),
    (Version(5, 3, 1), {"rpc_listen": (("EMQX_RPC__LISTEN_ADDRESS", "::"), ("EMQX_RPC__IPV6_ONLY", "true"))}),
    (Version(5, 4, 0), {"other_strategies": ("manual", "static", "etcd")}),
    (Version(5, 6, 0), {"record_types": ("a", "aaaa", "srv")}),
    (Version(5, 8, 0), {"other_strategies": ("manual", "static", "etcd", "singleton")}),
    (Version(5, 9, 0), {"single_node_license": True}),
)

# Discovery variables that one family reads and another drops without a word: the plugin sets them, nobody else needs to.
DISCOVERY_VARIABLES = frozenset(
    {
        "EMQX_CLUSTER__DISCOVERY",
        "EMQX_CLUSTER__DISCOVERY_STRATEGY",
        "EMQX_CLUSTER__DNS__APP",
        "EMQX_CLUSTER__DNS__NAME",
        "EMQX_CLUSTER__DNS__RECORD_TYPE",
        "EMQX_CLUSTER__DNS__TYPE",
        "EMQX_CLUSTER__K8S__ADDRESS_TYPE",
        "EMQX_CLUSTER__K8S__APISERVER",
        "EMQX_CLUSTER__K8S__APP_NAME",
        "EMQX_CLUSTER__K8S__NAMESPACE",
        "EMQX_CLUSTER__K8S__SERVICE_NAME",
        "EMQX_CLUSTER__K8S__SUFFIX",
    }
)


def family(version: Version) -> Family:
    """The row of `version`, which must be a supported one."""
    result = _EMQX_4_1
    for since, change in _CHANGES:
        if version >= since:
            result = result._replace(**change)
    return result


def supported(version: Version) -> bool:
    """Whether the table knows this release."""
    known_minor = {4: 4, 5: 10, NEWEST[0]: NEWEST[1]}.get(version.major, -1)
    return version >= OLDEST and version.minor <= known_minor


_TAG = re.compile(r"[ve]?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[-.][A-Za-z][\w.-]*)?")
_CANDIDATE = re.compile(r"(?:\d+\.)+\d+-(?:alpha|beta|rc)(?:\.?\d+)?")
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?")


def version_of_tag(tag: str) -> Version | None:
    """The release that an image tag names (`v4.1.5`, `5.8.9-elixir`, `5.8`), or None (`latest`, `6`)."""
    return _version(_TAG.fullmatch(tag))


def parse_version(text: str) -> Version | None:
    """`5.8.9` or `5.8` as a release, or None."""
    return _version(_VERSION.fullmatch(text))


def _version(match: re.Match[str] | None) -> Version | None:
    if match is None:
        return None
    candidate = _CANDIDATE.search(match[0])
    # A release candidate without a patch (v4.1-rc.1) comes before every patch of its minor.
    patch = int(match[3]) if match[3] else 0 if candidate else LATEST
    return Version(int(match[1]), int(match[2]), patch, candidate[0] if candidate else "")


class Image(NamedTuple):
    """An image reference, taken apart: `registry/emqx/emqx-enterprise:5.8.9@sha256:…`."""

    name: str
    tag: str
    digest: str


def parse_image(reference: str) -> Image:
    """Split at the digest and at the tag; a port of the registry is no tag."""
    rest, _, digest = reference.partition("@")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return Image(rest, "", digest)
    return Image(head, tag, digest)


def is_emqx_image(reference: str) -> bool:
    """Whether the image's last path component is one of EMQX's own names."""
    return parse_image(reference).name.rsplit("/", 1)[-1] in ("emqx", "emqx-ee", "emqx-enterprise")


def edition_of_image(reference: str, version: Version) -> str:
    """`community` or `enterprise`; from 5.9 there is one edition, which upstream calls enterprise."""
    name = parse_image(reference).name.rsplit("/", 1)[-1]
    return "enterprise" if name in ("emqx-ee", "emqx-enterprise") or version >= (5, 9, 0) else "community"
