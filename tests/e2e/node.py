"""One real node: containerd, runc, kubelet, kube-proxy and CoreDNS in namespaces of their own, so that containers really run.

What happens there stays there: the network has no way out (no default route), all files are in memory, and the end of
its process 1 is the end of everything. What remains on the machine then, an interface and cgroups, is removed by a
process that waits for that end, also when the tests are killed. It needs Linux and root, and cgroups of either version.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cluster.client import Cluster, Object
from cluster.controlplane import Command, Processes, bring_up, program, wait_until

from . import node_init
from .node_config import NAME, SOCKET, Config, Link
from .node_image import Image, write_images
from .nodes import ready, scheduler
from .waiting import until

NEEDED = ("unshare", "nsenter", "ip", "mount", "ldd")
NAMESPACES = ("--mount", "--net", "--pid")
CGROUPS = Path("/sys/fs/cgroup")
# Those that the kubelet asks for where one tree holds all (cgroup v2).
CONTROLLERS = ("cpuset", "cpu", "memory", "hugetlb", "pids")
VOLUMES = 24
COMMAND_SECONDS = 60.0

# Its standard input ends with the tests. Then it waits for process 1 of the node, ten seconds at most, and clears away.
CLEANER = """\
cat
tries=200
while kill -0 "$1" && [ "$tries" -gt 0 ]; do tries=$((tries - 1)); sleep 0.05; done
ip link delete "$2"
find "$3" -depth -type d '(' -path "*/$2" -o -path "*/$2/*" ')' -exec rmdir {} \\;
for controller in $4; do echo "-$controller" >"$3/cgroup.subtree_control"; done
"""


def why_not() -> str:
    """Why no node can run here; empty where it can."""
    if not sys.platform.startswith("linux"):
        return "a node that runs containers needs Linux"
    if os.geteuid() != 0:
        return "a node that runs containers needs root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"a node that runs containers needs {', '.join(missing)} on PATH"
    # Only the root of them all has no such file.
    if (CGROUPS / "cgroup.events").exists() or not os.access(CGROUPS, os.W_OK):
        return "a node that runs containers needs the machine's own cgroups, not those of a container"
    tried = subprocess.run(["unshare", *NAMESPACES, "--fork", "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True)
    return f"a node that runs containers needs namespaces of its own: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass(frozen=True)
class Node:
    """The running node, and the control plane that it belongs to."""

    cluster: Cluster
    processes: Processes
    config: Config
    init: int

    def run(self, *command: str | Path) -> str:
        """A command in the node's namespaces; it must end well."""
        ended = subprocess.run([*enter(self.init), *command], env=self.config.environment(), capture_output=True, text=True, timeout=COMMAND_SECONDS)
        assert ended.returncode == 0, f"{' '.join(map(str, command))}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def start(self, command: Command) -> None:
        """A program in the node's namespaces, which ends with the node."""
        self.processes.start([*enter(self.init), *command], Path(command[0]).name, self.config.environment())

    def load(self, images: Sequence[Image], files: dict[str, Path]) -> None:
        """Makes images out of this machine's Python and puts them where the kubelet finds them."""
        path = self.processes.folder / "images.tar"
        write_images(path, images, files)
        self.run(program("ctr"), "--address", SOCKET, "--namespace", "k8s.io", "images", "import", path)
        path.unlink()


def enter(init: int) -> list[str]:
    return ["nsenter", f"--target={init}", *NAMESPACES, "--"]


@contextmanager
def running_node(processes: Processes, images: Sequence[Image], files: dict[str, Path]) -> Iterator[Node]:
    """A control plane with one node that is ready and has these images; all of it ends with the `with`."""
    init = start_init(processes)
    link = free_link(init)
    with cleared_away(init, link.name):
        try:
            join(link, init)
            node = join_cluster(processes, link, init)
            bring_up_node(node, images, files)
            yield node
        finally:
            processes.kill("unshare")


def start_init(processes: Processes) -> int:
    """Process 1 of the namespaces, as the machine numbers it."""
    folder, written = processes.folder / "node", processes.folder / "node.pid"
    folder.mkdir()
    # The same Python, but none of the packages of a virtual environment.
    processes.start(["unshare", *NAMESPACES, "--fork", "--kill-child", sys.executable, "-I", node_init.__file__, folder, written])
    wait_until(written.exists, processes, "process 1 of the node")
    return int(written.read_text())


def free_link(init: int) -> Link:
    """Claims the first pair of interfaces that nobody has: another run may have one."""
    for number in range(256):
        link = Link(number)
        made = ["ip", "link", "add", link.name, "type", "veth", "peer", "name", "eth0", "netns", str(init)]
        if subprocess.run(made, capture_output=True).returncode == 0:
            return link
    raise AssertionError("256 links to nodes are there; remove what is left over: ip link delete emqx-gitops-0")


def join(link: Link, init: int) -> None:
    """Addresses on both ends, and the machine's route to pods: the API server answers them, and tests ask them."""
    for command in (
        f"ip address add {link.host}/30 dev {link.name}",
        f"ip link set {link.name} up",
        f"{' '.join(enter(init))} ip address add {link.node}/30 dev eth0",
        f"{' '.join(enter(init))} ip link set eth0 up",
        f"ip route add {link.pods} via {link.node}",
    ):
        subprocess.run(command.split(), check=True)


@contextmanager
def cleared_away(init: int, name: str) -> Iterator[None]:
    """Makes the node's cgroup, and removes it with the interface of the same name when the node has ended."""
    added = make_cgroups(name)
    with subprocess.Popen(
        ["sh", "-c", CLEANER, "cleaner", str(init), name, str(CGROUPS), " ".join(added)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Not in the group of the tests, which is killed as a whole.
        start_new_session=True,
    ):
        yield


def make_cgroups(name: str) -> list[str]:
    """Where pods are counted; returns the controllers that had to be switched on for it."""
    added: list[str] = []
    if (CGROUPS / "cgroup.controllers").exists():
        control = CGROUPS / "cgroup.subtree_control"
        offered = (CGROUPS / "cgroup.controllers").read_text().split()
        added = [one for one in CONTROLLERS if one in offered and one not in control.read_text().split()]
        if added:
            control.write_text(" ".join(f"+{one}" for one in added))
        (CGROUPS / name).mkdir(exist_ok=True)
        return added
    for hierarchy in CGROUPS.iterdir():
        if not hierarchy.is_symlink() and (hierarchy / "cgroup.procs").exists():
            (hierarchy / name).mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):
        # A new one has none, and nothing can run in it.
        (CGROUPS / "cpuset" / name / setting).write_text((CGROUPS / "cpuset" / setting).read_text())
    return added


def join_cluster(processes: Processes, link: Link, init: int) -> Node:
    cluster = bring_up(processes, controllers=("*",), address=link.host)
    processes.start(scheduler(cluster))
    return Node(cluster, processes, Config(processes.folder / "node", link, cluster, link.name), init)


def bring_up_node(node: Node, images: Sequence[Image], files: dict[str, Path]) -> None:
    """Starts its programs, each when what it needs is there, and waits until pods can run."""
    config = node.config
    config.write_network()
    node.start(config.containerd())
    node.start(config.kube_proxy())
    node.start(config.coredns())
    # Seen from here, as it is only there in the node.
    socket = Path(f"/proc/{node.init}/root") / SOCKET.relative_to("/")
    wait_until(socket.exists, node.processes, "containerd")
    node.load(images, files)
    add_volumes(node)
    node.start(config.kubelet())
    until("the node is ready", partial(is_ready, node))


def is_ready(node: Node) -> bool:
    node.processes.check()
    return any(map(ready, node.cluster.expect(200, "GET", "/api/v1/nodes")["items"]))


def add_volumes(node: Node) -> None:
    """Volumes of type `local`, for claims: those of type `hostPath` ignore fsGroup."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": default},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    folders = [node.config.volumes / str(number) for number in range(VOLUMES)]
    node.run("mkdir", "-p", *folders)
    objects = [storage_class, *map(volume, folders)]
    node.cluster.kubectl("create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def volume(folder: Path) -> Object:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"local-{folder.name}"},
        "spec": {
            "storageClassName": "local",
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
