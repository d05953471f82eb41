"""Tries an overlay on a live cluster: it forms, rolls, scales, heals and goes, and its members keep their names.

    python tests/live/check.py overlays/persistent --namespace emqx-check

It needs kubectl and a kubeconfig whose user may make a namespace with Roles in it. Everything happens in that namespace,
which must not be there before and is gone afterwards. Exit codes: 0 fine, 1 something is not as it must be, 2 wrong
arguments, 3 no kubectl, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster.client import NotAnswering, Object, Refused, path_of
from cluster.live import environment, name_of, workload_objects
from cluster.rendering import OVERLAYS, clone_into, documents
from e2e.engine import App
from e2e.members import claims, names, pods, problem_of_members, uids
from e2e.repository import EMQX_GITOPS, edit, run, set_variable
from e2e.waiting import until_fine
from live.by_kubectl import ByKubectl

FOLDER = Path("clusters", "check")
NOBODY: frozenset[str] = frozenset()
# Each question is a run of kubectl.
PAUSE = 2.0


@dataclass(frozen=True)
class Check:
    """A cluster of EMQX in the making: its folder in a copy of the clone, and where it runs."""

    cluster: ByKubectl
    app: App
    clone: Path
    seconds: float
    brokers: bool

    @property
    def folder(self) -> Path:
        return self.clone / FOLDER

    def render(self) -> str:
        return run(self.clone, EMQX_GITOPS, "render", FOLDER)

    def apply(self) -> None:
        said = self.cluster.apply(self.app.namespace, self.render())
        assert said.warnings == "", said.warnings
        (workload,) = workload_objects(self.cluster, self.app.namespace)
        what = f"{workload['kind'].lower()}/{name_of(workload)}"
        self.cluster.kubectl("rollout", "status", what, f"--namespace={self.app.namespace}", f"--timeout={self.seconds:.0f}s")

    def await_members(self, count: int, *, none_of: frozenset[str] = NOBODY) -> frozenset[str]:
        """Until so many pods are ready, each finds just them with its own token, and each broker lists just them as running."""
        problem = lambda: problem_of_members(self.cluster, self.app, count, none_of) or self.problem_of_brokers()  # noqa: E731
        until_fine(f"{count} members find each other", problem, seconds=self.seconds, pause=PAUSE)
        return names(self.cluster, self.app)

    def problem_of_brokers(self) -> str:
        if not self.brokers:
            return ""
        there = pods(self.cluster, self.app)
        expected = names(self.cluster, self.app)
        wrong = {name_of(pod): sorted(found) for pod in there if (found := running_nodes(self.status_by(pod))) != expected}
        return f"wanted {sorted(expected)} running; {wrong}" if wrong else ""

    def status_by(self, pod: Object) -> str:
        """What this member's broker says of the cluster."""
        major = re.search(r":v?(\d+)", pod["spec"]["containers"][0]["image"])
        command = ["emqx_ctl"] if major and int(major[1]) < 5 else ["emqx", "ctl"]
        try:
            return self.cluster.kubectl("exec", f"--namespace={self.app.namespace}", name_of(pod), "--", *command, "cluster", "status").out
        except Refused as refused:
            return str(refused)


def running_nodes(said: str) -> frozenset[str]:
    """The nodes that `cluster status` lists as running; it has used the same words since 4.1."""
    listed = re.search(r"running_nodes\s*=>\s*\[([^\]]*)\]", said)
    return frozenset(re.findall(r"[^\s',]+@[^\s',]+", listed[1])) if listed else frozenset([said])


def forms(check: Check) -> str:
    """The five lines of the README, from a new folder to members that find each other."""
    namespace = f"--namespace={check.app.namespace}"
    check.cluster.kubectl("create", f"--filename={check.folder / 'namespace.yaml'}")
    secrets = run(check.clone, EMQX_GITOPS, "secrets", FOLDER)
    check.cluster.kubectl("create", "--filename=-", namespace, stdin=secrets)
    check.apply()
    return ", ".join(sorted(check.await_members(3)))


def reads_one_endpoints_object(check: Check) -> str:
    pod = pods(check.cluster, check.app)[0]
    service = environment(pod)["EMQX_CLUSTER__K8S__SERVICE_NAME"]
    endpoints = path_of(check.app.namespace, "v1/endpoints")
    own = check.cluster.token(check.app.namespace, pod["spec"]["serviceAccountName"], pod)
    other = check.cluster.token(check.app.namespace, "default")
    asked = {"its own": (f"{endpoints}/{service}", own), "all": (endpoints, own), "another": (f"{endpoints}/other", own)}
    asked["its own, without our Role"] = (f"{endpoints}/{service}", other)
    found = {what: check.cluster.request("GET", path, token=token).status for what, (path, token) in asked.items()}
    assert found == {"its own": 200, "all": 403, "another": 403, "its own, without our Role": 403}, found
    return f"{service}: 200; all, another, or without our Role: 403"


def rolls(check: Check) -> str:
    before, old, kept = names(check.cluster, check.app), uids(pods(check.cluster, check.app)), claims(check.cluster, check.app)
    set_variable(check.folder, "EMQX_MQTT__MAX_PACKET_SIZE", "2MB")
    check.apply()
    after = check.await_members(3, none_of=old)
    assert claims(check.cluster, check.app) == kept
    return same_names(check, before, after)


def same_names(check: Check, before: frozenset[str], after: frozenset[str]) -> str:
    """A node that is named by its address may have another name in its next life."""
    if check.app.overlay == "deployment-ip":
        return "new pods"
    assert after == before, (sorted(before), sorted(after))
    return "new pods, the same names"


def scales(check: Check) -> str:
    before = names(check.cluster, check.app)
    for count in (5, 3):
        edit(check.folder, replicas=[{"name": "emqx", "count": count}])
        check.apply()
        after = check.await_members(count)
    assert after == before or check.app.overlay == "deployment-ip", (sorted(before), sorted(after))
    return "to five and back to three"


def heals(check: Check) -> str:
    before = names(check.cluster, check.app)
    victim = pods(check.cluster, check.app)[0]
    check.cluster.expect(200, "DELETE", f"{path_of(check.app.namespace, 'v1/pods')}/{name_of(victim)}")
    return same_names(check, before, check.await_members(3, none_of=uids([victim])))


def goes(check: Check) -> str:
    """Everything that was rendered but the namespace; claims are not rendered, and stay."""
    kept = claims(check.cluster, check.app)
    for item in documents(check.render()):
        if item["kind"] != "Namespace":
            what = f"{item['kind']}.{version_and_group(item['apiVersion'])}/{name_of(item)}"
            check.cluster.kubectl("delete", what, f"--namespace={check.app.namespace}", "--wait=false")
    until_fine("no pod left", lambda: ", ".join(map(name_of, pods(check.cluster, check.app))), seconds=check.seconds, pause=PAUSE)
    assert claims(check.cluster, check.app) == kept
    return f"{len(kept)} claims stay"


def version_and_group(version: str) -> str:
    """`apps/v1` as kubectl names it in KIND.VERSION.GROUP."""
    group, _, number = version.rpartition("/")
    return f"{number}.{group}"


STEPS: dict[str, Callable[[Check], str]] = {
    "a cluster forms": forms,
    "a pod's token reads one Endpoints object": reads_one_endpoints_object,
    "a changed setting rolls it": rolls,
    "it scales": scales,
    "a deleted pod comes back": heals,
    "it goes": goes,
}


def try_all(check: Check) -> None:
    if not check.brokers:
        print("skipped: what brokers say of the cluster, by --no-brokers: no container runs here", flush=True)
    for title, step in STEPS.items():
        started = time.monotonic()
        said = step(check)
        print(f"ok: {title}: {said} ({time.monotonic() - started:.0f} s)", flush=True)


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Check]:
    """A copy of the clone with a new cluster in it, as the README says to start one; and no namespace afterwards."""
    with tempfile.TemporaryDirectory(prefix="emqx-gitops-live-") as scratch:
        clone = clone_into(Path(scratch)).folder
        flags = ["--from", options.overlay.name, "--namespace", options.namespace, *(["--image", options.image] if options.image else [])]
        run(clone, EMQX_GITOPS, "new", FOLDER, *flags, *(["--evaluation-license"] if options.evaluation_license else []))
        cluster = ByKubectl(os.environ.get("KUBECTL") or "kubectl", clone, options.seconds + 60)
        check = Check(cluster, App(options.overlay.name, options.namespace), clone, options.seconds, options.brokers)
        there = cluster.request("GET", f"/api/v1/namespaces/{options.namespace}").status
        assert there == 404, f"--namespace: expected one that is not there yet; got {options.namespace}\n  fix: name another, it is removed at the end"
        try:
            yield check
        except BaseException:
            diagnose(check)
            raise
        finally:
            if not options.keep:
                cluster.kubectl("delete", "namespace", options.namespace, "--ignore-not-found", f"--timeout={options.seconds:.0f}s")


def diagnose(check: Check) -> None:
    """What a person would look at first; a Secret is in none of it."""
    commands = (
        ["get", "pods,endpoints,persistentvolumeclaims", "--output=wide"],
        ["get", "events"],
        ["logs", "--selector=app.kubernetes.io/name=emqx", "--prefix"],
    )
    for command in commands:
        try:
            said = check.cluster.kubectl(*command, f"--namespace={check.app.namespace}").out
        except (Refused, subprocess.TimeoutExpired) as error:
            said = str(error)
        print(f"\nkubectl {' '.join(command)}:\n{said}", file=sys.stderr)


def overlay(text: str) -> Path:
    path = Path(text)
    if path.name not in OVERLAYS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(f'overlays/{name}' for name in OVERLAYS)}; got {text}")
    return path


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    summary, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="check.py", description=summary)
    parser.add_argument("overlay", type=overlay, help="overlays/persistent, overlays/statefulset-hostname or overlays/deployment-ip")
    parser.add_argument("--namespace", required=True, help="a namespace that is not there yet")
    parser.add_argument("--image", default="", help="EMQX image with its tag (default: the overlay's)")
    parser.add_argument("--evaluation-license", action="store_true", help="from 5.9 on, where members need a licence")
    parser.add_argument("--seconds", type=float, default=300, help="how long to wait for any one thing (default: 300)")
    parser.add_argument("--no-brokers", dest="brokers", action="store_false", help="no container runs there, as on nodes of kwok: ask no broker")
    parser.add_argument("--keep", action="store_true", help="leave the namespace")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    kubectl = os.environ.get("KUBECTL") or "kubectl"
    if not __debug__:
        print("check.py: expected Python without -O, which leaves the checks out", file=sys.stderr)
        return 2
    if shutil.which(kubectl) is None:
        print(f"check.py: {kubectl}: expected the program\n  fix: install kubectl, or name it by KUBECTL=", file=sys.stderr)
        return 3
    try:
        with prepared(options) as check:
            try_all(check)
    except (AssertionError, NotAnswering, Refused, subprocess.TimeoutExpired) as problem:
        print(f"check.py: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("check.py: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
