"""Names of the other members, as ekka finds them: in one Endpoints object, or in DNS."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from properties.broker import Node, record_type_of, setting_of, strategy_of

from . import dns

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = 3.0
# Erlang/OTP 26, which these come with, checks the certificate of the API server.
VERIFYING = (5, 4, 0)


class Alone(Exception):
    """Discovery fails; the text says what is missing."""


def discover(node: Node) -> set[str]:
    """The names that this node would join."""
    strategy = strategy_of(node.config, node.release)
    if strategy == "k8s":
        return through_endpoints(node)
    if strategy == "dns":
        return through_records(node)
    raise Alone(f"discovery is {strategy}: nobody is asked")


def through_endpoints(node: Node) -> set[str]:
    later = node.release >= (5, 0, 0)
    namespace, service = setting_of(node, "namespace", "default"), setting_of(node, "service_name", "emqx")
    app = node.prefix if later else setting_of(node, "app_name", "")
    kind, suffix = setting_of(node, "address_type", "ip"), setting_of(node, "suffix", "pod.local" if later else "")
    found = endpoints(node, namespace, service)
    addresses = [address for subset in found.get("subsets") or [] for address in subset.get("addresses") or []]
    if not addresses:
        raise Alone(f"endpoints {service!r} in {namespace!r} lists nobody")
    return {f"{app}@{host(address, kind, f'{service}.{namespace}', suffix)}" for address in addresses}


def host(address: dict[str, str], kind: str, service: str, suffix: str) -> str:
    if kind == "ip":
        return address["ip"]
    if kind == "dns":
        dashed = address["ip"].replace(".", "-")
        return f"{dashed}.{service.partition('.')[2]}.{suffix}" if suffix else dashed
    if "hostname" not in address:
        raise Alone('{badkey,<<"hostname">>}: the address has no hostname')
    return f"{address['hostname']}.{service}.{suffix}" if suffix else address["hostname"]


def endpoints(node: Node, namespace: str, service: str) -> Any:
    """The one request, with what is mounted at that moment."""
    server = setting_of(node, "apiserver", "https://kubernetes.default.svc:443" if node.release >= (5, 1, 1) else "http://10.110.111.204:8080")
    url = f"{server}/api/v1/namespaces/{namespace}/endpoints/{service}"
    try:
        token = (MOUNTED / "token").read_text()
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=SECONDS, context=trust(node)) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            raise Alone(f"Discovery error: {{{error.code}, {json.loads(error.read())['message']}}}") from None
    except FileNotFoundError:
        raise Alone(f"no service account token in {MOUNTED}") from None
    except (OSError, ValueError) as error:
        raise Alone(f"no API server at {server!r}: {getattr(error, 'reason', error)}") from None


def trust(node: Node) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=MOUNTED / "ca.crt")
    if node.release < VERIFYING:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def through_records(node: Node) -> set[str]:
    name, kind = node.config.get("cluster.dns.name", "localhost"), record_type_of(node.config, node.release)
    app = node.prefix if node.release >= (5, 0, 0) else node.config["cluster.dns.app"]
    try:
        found = dns.records(name, kind)
    except OSError as error:
        raise Alone(f"no DNS: {error}") from None
    if not found:
        raise Alone(f"no {kind} record for {name!r}")
    return {f"{app}@{target}" for target in found}
