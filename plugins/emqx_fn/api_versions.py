"""API versions that Kubernetes has removed: what they were, since when they are gone, and what to write instead.

Source: https://kubernetes.io/docs/reference/using-api/deprecation-guide/. Only what every supported minor has removed.
"""

from __future__ import annotations

from emqx_fn.case import Case
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from emqx_fn.light import NamedTuple


class Removed(NamedTuple):
    """Since which Kubernetes minor an API version is gone, and what serves the kind now; empty: nothing does."""

    since: str
    successor: str

    @property
    def fix(self) -> str:
        """What to do about it."""
        return f"write apiVersion: {self.successor}" if self.successor else "remove it"


_RBAC = "Role ClusterRole RoleBinding ClusterRoleBinding"
_APPS = "Deployment StatefulSet DaemonSet ReplicaSet ControllerRevision"
_ROWS = (
    ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration ValidatingWebhookConfiguration", "1.22", "admissionregistration.k8s.io/v1"),
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "1.22", "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", "APIService", "1.22", "apiregistration.k8s.io/v1"),
    ("apps/v1beta1", _APPS, "1.16", "apps/v1"),
    ("apps/v1beta2", _APPS, "1.16", "apps/v1"),
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler", "1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.26", "autoscaling/v2"),
    ("batch/v1beta1", "CronJob", "1.25", "batch/v1"),
    ("batch/v2alpha1", "CronJob", "1.21", "batch/v1"),
    ("certificates.k8s.io/v1beta1", "CertificateSigningRequest", "1.22", "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", "Lease", "1.22", "coordination.k8s.io/v1"),
    ("discovery.k8s.io/v1beta1", "EndpointSlice", "1.25", "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", "Event", "1.25", "events.k8s.io/v1"),
    ("extensions/v1beta1", "Deployment DaemonSet ReplicaSet", "1.16", "apps/v1"),
    ("extensions/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "NetworkPolicy", "1.16", "networking.k8s.io/v1"),
    ("extensions/v1beta1", "PodSecurityPolicy", "1.16", ""),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "FlowSchema PriorityLevelConfiguration", "1.26", "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "FlowSchema PriorityLevelConfiguration", "1.29", "flowcontrol.apiserver.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "Ingress IngressClass", "1.22", "networking.k8s.io/v1"),
    ("node.k8s.io/v1beta1", "RuntimeClass", "1.25", "node.k8s.io/v1"),
    ("policy/v1beta1", "PodDisruptionBudget", "1.25", "policy/v1"),
    ("policy/v1beta1", "PodSecurityPolicy", "1.25", ""),
    ("rbac.authorization.k8s.io/v1alpha1", _RBAC, "1.22", "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", _RBAC, "1.22", "rbac.authorization.k8s.io/v1"),
    ("scheduling.k8s.io/v1alpha1", "PriorityClass", "1.22", "scheduling.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", "PriorityClass", "1.22", "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIDriver CSINode StorageClass VolumeAttachment", "1.22", "storage.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity", "1.27", "storage.k8s.io/v1"),
)


def removed(api_version: str, kind: str) -> Removed | None:
    """What became of an API version of a built-in kind; None for one that is still served, or was never built in."""
    if "beta" not in api_version and "alpha" not in api_version:
        return None
    return next((Removed(since, successor) for name, kinds, since, successor in _ROWS if name == api_version and kind in kinds.split(" ")), None)


def check(case: Case) -> list[Problem]:
    """Objects of the build that no supported API server takes any more."""
    problems = []
    for document in case.graph.documents:
        version = _api_version(document.text)
        gone = removed(version, document.kind)
        if gone:
            wanted = gone.successor or f"no {document.kind}"
            message = f"expected {wanted}; got {version!r}, which no API server has since Kubernetes {gone.since}"
            problems.append(Problem("api-version", str(case.graph.object(document)), "apiVersion", message, gone.fix))
    return problems


def _api_version(text: str) -> str:
    """The API version that a document's text says, so that most documents need not be read for it."""
    line = f"\n{text}".partition("\napiVersion:")[2].partition("\n")[0]
    return line.partition(" #")[0].strip(" \t\r\"'")
