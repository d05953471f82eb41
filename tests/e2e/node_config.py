"""What the programs of the node are told: one file or command for each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.client import Cluster
from cluster.controlplane import PROGRAMS, Command, program

NAME = "node"
DOMAIN = "cluster.local"
SERVICES = "10.96.0.0/16"
SOCKET = Path("/run/containerd/containerd.sock")
PAUSE_IMAGE = "localhost/pause:local"


@dataclass(frozen=True)
class Link:
    """The one way to the node: two interfaces, with addresses from a range that no network uses (RFC 2544 keeps it for measurements)."""

    number: int

    @property
    def name(self) -> str:
        return f"emqx-gitops-{self.number}"

    @property
    def host(self) -> str:
        return f"198.18.{self.number}.1"

    @property
    def node(self) -> str:
        return f"198.18.{self.number}.2"

    @property
    def both(self) -> str:
        return f"198.18.{self.number}.0/30"

    @property
    def pods(self) -> str:
        return f"198.19.{self.number}.0/24"


@dataclass(frozen=True)
class Config:
    """Where the node keeps everything, and what it talks to."""

    folder: Path
    link: Link
    cluster: Cluster
    cgroup: str

    @property
    def volumes(self) -> Path:
        return self.folder / "volumes"

    def containerd(self) -> Command:
        return [program("containerd"), "--config", self._write("containerd.toml", containerd_toml(self))]

    def kubelet(self) -> Command:
        return [
            program("kubelet"),
            f"--config={self._write('kubelet.yaml', json.dumps(kubelet_settings(self)))}",
            f"--kubeconfig={self.cluster.kubeconfig}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet-certificates'}",
            f"--hostname-override={NAME}",
            # Without a default route it would find none.
            f"--node-ip={self.link.node}",
            "--node-labels=topology.kubernetes.io/zone=zone-a",
        ]

    def kube_proxy(self) -> Command:
        return [program("kube-proxy"), f"--config={self._write('kube-proxy.yaml', json.dumps(proxy_settings(self)))}"]

    def coredns(self) -> Command:
        return [program("coredns"), "-conf", self._write("Corefile", corefile(self))]

    def write_network(self) -> None:
        self._write("cni/node.conflist", json.dumps(network(self)))

    def environment(self) -> dict[str, str]:
        """Programs start each other by name: containerd runc, kube-proxy nft."""
        folders = [str(PROGRAMS), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return {**os.environ, "PATH": os.pathsep.join(folders), "HOME": str(self.folder)}

    def _write(self, name: str, text: str) -> Path:
        path = self.cluster.home / "node-config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def containerd_toml(config: Config) -> str:
    return f"""\
version = 2
root = "{config.folder / "containerd"}"
state = "/run/containerd"
# It would make a folder of its own in /opt.
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
netns_mounts_under_state_dir = true
# Its profile would stay in the kernel.
disable_apparmor = true
disable_hugetlb_controller = true
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{program("cni")}"
conf_dir = "{config.cluster.home / "node-config" / "cni"}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{program("runc")}"
"""


def network(config: Config) -> Any:
    """Each pod at the end of a wire to the node, with routes to pods (the plugin's own), Services, DNS and the API server, and none to anywhere else."""
    routes = [{"dst": destination} for destination in (SERVICES, config.link.both)]
    addresses = {"type": "host-local", "ranges": [[{"subnet": config.link.pods}]], "routes": routes, "dataDir": str(config.folder / "addresses")}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}]}


def kubelet_settings(config: Config) -> Any:
    nothing = config.cluster.home / "node-config" / "resolv.conf"
    nothing.write_text("")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": config.link.node,
        # Nobody but the API server and pods of the tests can reach it.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "healthzPort": 0,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{config.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "protectKernelDefaults": True,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "clusterDNS": [config.link.node],
        "clusterDomain": DOMAIN,
        # No search domain of the machine in pods.
        "resolvConf": str(nothing),
        "podLogsDir": str(config.folder / "logs"),
        "volumePluginDir": str(config.folder / "volume-plugins"),
        # A machine whose disk is nearly full is no reason to evict.
        "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"), "0%"),
        "imageGCHighThresholdPercent": 100,
        "registryPullQPS": 0,
        "logging": {"verbosity": 1},
    }


def proxy_settings(config: Config) -> Any:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": config.link.pods,
        "clientConnection": {"kubeconfig": str(config.cluster.kubeconfig)},
        "hostnameOverride": NAME,
        "healthzBindAddress": "",
        "metricsBindAddress": "",
        # These belong to the machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def corefile(config: Config) -> str:
    return f"""\
{DOMAIN}:53 {{
    bind {config.link.node}
    errors
    kubernetes {DOMAIN} {{
        kubeconfig {config.cluster.kubeconfig}
        pods insecure
        ttl 1
    }}
}}
.:53 {{
    bind {config.link.node}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
