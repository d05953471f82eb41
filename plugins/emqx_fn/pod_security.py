"""The Pod Security Standards, as far as the YAML of a Linux pod shows whether it meets them.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn.graph import items, mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Violation = tuple[str, str, str, str]  # path, expected, got, fix


POD = "spec.template.spec"
_CAPABILITIES = frozenset(
    ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"],
)
_VOLUMES = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret")
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_RUN_AS_USER = "a user other than 0"


def violations(template: dict[str, Any], *, restricted: bool) -> Iterator[Violation]:
    """Fields of a pod template that the level `baseline` refuses, or `restricted`."""
    pod = mapping(template, "spec")
    yield from _pod(pod)
    yield from _annotations(mapping(template, "metadata", "annotations"))
    contexts = [(f"{POD}.securityContext", mapping(pod, "securityContext"))]
    contexts += [(f"{path}.securityContext", mapping(container, "securityContext")) for path, container in _containers(pod)]
    for path, context in contexts:
        yield from _context(path, context)
    for path, container in _containers(pod):
        yield from _container(path, container)
    if restricted:
        yield from _restricted(pod, contexts)


def _containers(pod: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [(f"{POD}.{kind}[{container.get('name')}]", container) for kind in kinds for container in items(pod, kind)]


# -- baseline


def _pod(pod: dict[str, Any]) -> Iterator[Violation]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field) is True:
            yield f"{POD}.{field}", "false", "true", f"remove {field}"
    for volume in items(pod, "volumes"):
        if "hostPath" in volume:
            yield f"{POD}.volumes[{volume.get('name')}].hostPath", "no folder of the node", "hostPath", "use an emptyDir or a claim"
    for sysctl in items(pod, "securityContext", "sysctls"):
        if str(sysctl.get("name")) not in _SYSCTLS:
            yield f"{POD}.securityContext.sysctls", "only sysctls that are safe", repr(str(sysctl.get("name"))), "remove it"


def _annotations(annotations: dict[str, Any]) -> Iterator[Violation]:
    for key, value in annotations.items():
        if str(key).startswith(_APPARMOR) and value != "runtime/default" and not str(value).startswith("localhost/"):
            yield f"spec.template.metadata.annotations[{key}]", "runtime/default or localhost/…", repr(str(value)), "set runtime/default"


def _context(path: str, context: dict[str, Any]) -> Iterator[Violation]:
    for field in ("seccompProfile", "appArmorProfile"):
        if mapping(context, field).get("type") == "Unconfined":
            yield f"{path}.{field}.type", "RuntimeDefault or Localhost", "Unconfined", "set type: RuntimeDefault"
    selinux = mapping(context, "seLinuxOptions")
    if selinux.get("type", "") not in _SELINUX_TYPES:
        yield f"{path}.seLinuxOptions.type", "container_t, container_init_t or container_kvm_t", repr(str(selinux["type"])), "remove it"
    for field in ("user", "role"):
        if selinux.get(field):
            yield f"{path}.seLinuxOptions.{field}", "nothing", repr(str(selinux[field])), "remove it"
    if mapping(context, "windowsOptions").get("hostProcess") is True:
        yield f"{path}.windowsOptions.hostProcess", "false", "true", "remove it"


def _container(path: str, container: dict[str, Any]) -> Iterator[Violation]:
    context = mapping(container, "securityContext")
    if context.get("privileged") is True:
        yield f"{path}.securityContext.privileged", "false", "true", "remove privileged"
    if context.get("procMount", "Default") != "Default":
        yield f"{path}.securityContext.procMount", "Default", repr(str(context["procMount"])), "remove procMount"
    for port in items(container, "ports"):
        if port.get("hostPort"):
            name = port.get("name") or port.get("containerPort")
            yield f"{path}.ports[{name}].hostPort", "no port of the node", str(port["hostPort"]), "remove hostPort, and use a Service"
    added = [str(name) for name in _list(mapping(context, "capabilities").get("add")) if str(name) not in _CAPABILITIES]
    if added:
        yield f"{path}.securityContext.capabilities.add", "no capability beyond a runtime's own", ", ".join(added), "remove them"


# -- restricted


def _restricted(pod: dict[str, Any], contexts: list[tuple[str, dict[str, Any]]]) -> Iterator[Violation]:
    for volume in items(pod, "volumes"):
        other = [kind for kind in volume if kind not in ("name", "hostPath", *_VOLUMES)]
        if other:
            yield f"{POD}.volumes[{volume.get('name')}].{other[0]}", f"one of {', '.join(_VOLUMES)}", str(other[0]), "use an emptyDir or a claim"
    whole = contexts[0][1]
    for path, context in contexts:
        if context.get("runAsUser") == 0:
            yield f"{path}.runAsUser", _RUN_AS_USER, "0", "set runAsUser: 1000"
        if context.get("runAsNonRoot") is False:
            yield f"{path}.runAsNonRoot", "true", "false", "set runAsNonRoot: true"
    for path, context in contexts[1:]:
        yield from _inherited(path, context, whole)
        yield from _own(path, context)


def _inherited(path: str, context: dict[str, Any], whole: dict[str, Any]) -> Iterator[Violation]:
    """What a container may leave to the pod."""
    if context.get("runAsNonRoot") is None and whole.get("runAsNonRoot") is None:
        yield f"{path}.runAsNonRoot", "true here or in the pod", "nothing", "set securityContext.runAsNonRoot: true in the pod, and runAsUser: 1000"
    if not (mapping(context, "seccompProfile") or mapping(whole, "seccompProfile")):
        wanted = "a seccomp profile here or in the pod"
        yield f"{path}.seccompProfile", wanted, "nothing", "set securityContext.seccompProfile: {type: RuntimeDefault} in the pod"


def _own(path: str, context: dict[str, Any]) -> Iterator[Violation]:
    """What each container must say itself."""
    if context.get("allowPrivilegeEscalation") is not False:
        got = "true" if context.get("allowPrivilegeEscalation") is True else "nothing"
        yield f"{path}.allowPrivilegeEscalation", "false", got, "set allowPrivilegeEscalation: false"
    capabilities = mapping(context, "capabilities")
    dropped = [str(name) for name in _list(capabilities.get("drop"))]
    if "ALL" not in dropped:
        yield f"{path}.capabilities.drop", "ALL", ", ".join(dropped) or "nothing", "set capabilities: {drop: [ALL]}"
    added = [str(name) for name in _list(capabilities.get("add")) if str(name) in _CAPABILITIES and name != "NET_BIND_SERVICE"]
    if added:
        yield f"{path}.capabilities.add", "no capability but NET_BIND_SERVICE", ", ".join(added), "remove them"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
