"""Certificates: which one a TLS listener serves, and whether it names the hosts that clients connect to."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.graph import Object
from emqx_fn.listening import Reach, Socket, is_open
from emqx_fn.problem import Problem
from emqx_fn.routes import Backend, published_by

_HOSTNAMES = ("external-dns.alpha.kubernetes.io/hostname", "external-dns.alpha.kubernetes.io/internal-hostname")
_DEMO = "/opt/emqx/etc/certs"  # where the image keeps the certificate that every release serves by default


def check(reach: Reach, backends: list[Backend]) -> list[Problem]:
    """What is wrong with the certificates of the TLS listeners."""
    listeners = [socket for socket in reach.sockets if socket.on and socket.type in ("ssl", "wss")]
    return [problem for socket in listeners for problem in (*_missing(reach, backends, socket), *_names(reach, backends, socket))]


def _setting(reach: Reach, name: str) -> str:
    return reach.case.s.family.tls.partition("{name}__")[2] + name


def _missing(reach: Reach, backends: list[Backend], socket: Socket) -> Iterator[Problem]:
    """The demo certificate's key is in every image: who serves it encrypts for everybody."""
    given = (_setting(reach, "CERTFILE"), _setting(reach, "MANAGED_CERTS"), "SSL_OPTIONS")
    if reach.rivals(socket):
        return  # which of the two serves the port is not the question; see port-collision
    if not reach.complete or any(name.startswith(given) and name != "SSL_OPTIONS__CACERTFILE" for name in _tls_names(socket, given)) or _over_demo(reach.case):
        return
    meant = any(name in socket.settings for name in ("BIND", "ENABLE", "ENABLED")) or _unused_secret(reach.case)
    for lead in reach.to(socket):
        if g.headless(lead.service) or not (meant or is_open(lead.service) or published_by(reach, backends, socket)):
            continue
        prefix = f"{socket.stem}__{_setting(reach, '')}"
        message = (
            f"expected a certificate for the listener {socket.type} behind this port; without {prefix}CERTFILE it serves the image's own, whose key is public"
        )
        fix = f"give it one by spec.listeners.{socket.type}.tls.secretName, or set {prefix}CERTFILE and {prefix}KEYFILE; else remove this port"
        yield Problem("listener-without-certificate", str(lead.service), lead.path, message, fix)
        return


def _tls_names(socket: Socket, given: tuple[str, ...]) -> list[str]:
    """Settings that choose the certificate; `SSL_OPTIONS` alone is an object that may."""
    return [name for name in socket.settings if name == "SSL_OPTIONS" or name.startswith(given[:2])]


def _over_demo(case: Case) -> bool:
    return any(g.text(mount, "mountPath").startswith(_DEMO) for mount in g.items(case.container, "volumeMounts"))


def _unused_secret(case: Case) -> bool:
    """Whether a certificate is mounted and no variable says where."""
    values = [variable.value or "" for variable in case.env.values()]
    return any(
        _secret_of(case, path)
        and any(word in f"{g.text(mount, 'name')}{path}" for word in ("tls", "ssl", "cert"))
        and not any(path in value for value in values)
        for mount in g.items(case.container, "volumeMounts")
        if (path := g.text(mount, "mountPath"))
    )


def _secret_of(case: Case, file: str) -> str:
    """The Secret that holds a file of the container."""
    mounts = [mount for mount in g.items(case.container, "volumeMounts") if f"{file}/".startswith(f"{g.text(mount, 'mountPath').rstrip('/')}/")]
    name = g.text(max(mounts, key=lambda mount: len(g.text(mount, "mountPath")), default={}), "name")
    volumes = (volume for volume in g.items(g.pod_spec(case.workload), "volumes") if g.text(volume, "name") == name)
    return next((g.text(volume, "secret", "secretName") for volume in volumes), "")


# -- names


def _names(reach: Reach, backends: list[Backend], socket: Socket) -> Iterator[Problem]:
    """Hosts that clients connect to and that the certificate does not name."""
    variable = socket.settings.get(_setting(reach, "CERTFILE"))
    secret = _secret_of(reach.case, (variable.value or "").strip('"')) if variable and variable.value else ""
    certificate = _certificate(reach.case, secret)
    if certificate is None:
        return
    names = [name for name in certificate.data["spec"].get("dnsNames") or [] if isinstance(name, str)]
    for host, who in _hosts(reach, backends, socket).items():
        if not any(_covers(name, host) for name in names):
            got = ", ".join(names) or "none"
            message = f"expected {host!r} among the names: {who} publishes the listener {socket.type} under it; got {got}"
            yield Problem("certificate-names", str(certificate), "spec.dnsNames", message, f"add {host} to dnsNames")


def _certificate(case: Case, secret: str) -> Object | None:
    found = (
        item
        for item in (case.graph.objects("Certificate", [secret]) if secret else ())
        if item.namespace == case.workload.namespace and g.text(item.data, "spec", "secretName") == secret
    )
    certificate = next(found, None)
    names = g.mapping(certificate.data, "spec").get("dnsNames", []) if certificate else None
    return certificate if isinstance(names, list) else None


def _hosts(reach: Reach, backends: list[Backend], socket: Socket) -> dict[str, str]:
    """Host names of the build that lead to the listener, and what says so."""
    found: dict[str, str] = {}
    for lead in reach.to(socket):
        for key in _HOSTNAMES:
            for host in lead.service.annotation(key).split(","):
                found.setdefault(_plain(host), str(lead.service))
    for backend in published_by(reach, backends, socket):
        for host in backend.hosts:
            found.setdefault(_plain(host), str(backend.route))
    return {host: who for host, who in found.items() if host}


def _plain(host: str) -> str:
    return host.strip().rstrip(".").lower()


def _covers(name: str, host: str) -> bool:
    """Whether a certificate's name is the host's; a wildcard stands for one label."""
    name = _plain(name)
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])
