"""Options -> the folder of a user's own cluster: a few lines on top of one of the overlays."""

from __future__ import annotations

import io
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from emqx_fn import API_VERSION
from emqx_fn.family import family, parse_image, supported, version_of_tag
from emqx_gitops import project
from emqx_gitops.errors import UsageFailure

OVERLAYS = ("persistent", "statefulset-hostname", "deployment-ip")
WORKLOAD = "emqx"  # in every overlay
IMAGE = "emqx/emqx"  # in every overlay
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9][-a-z0-9]{0,30}")
_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off"})
_MEMBERS = 3  # in every overlay
# Kubernetes' own: labels of ours would change what others may run there.
_SHARED_NAMESPACES = frozenset({"default", "kube-node-lease", "kube-public", "kube-system"})
_POD_SECURITY = ("enforce", "audit", "warn")


@dataclass(frozen=True)
class Base:
    """Where overlay, plugin folder and JSON Schema of the new cluster are, as its files name them."""

    overlay: str
    inject: str
    schema: str  # empty where no editor could find it


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What the command line says about a new cluster."""

    namespace: str
    name_prefix: str = ""
    replicas: int | None = None
    image: str = ""
    license_secret: str = ""
    evaluation_license: bool = False
    own_namespace: bool = True  # the folder makes the namespace


def local_base(folder: Path, overlay: str) -> Base | None:
    """The overlay in the clone around the new folder, or None when there is none."""
    root = project.find_root(folder.parent)
    if root is None or not (root / "overlays" / overlay).is_dir() or not (root / "plugins" / "inject").is_dir():
        return None
    parts = (f"overlays/{overlay}", "plugins/inject", "plugins/schemas/emqxcluster.json")
    return Base(*(Path(os.path.relpath(root / part, folder)).as_posix() for part in parts))


def git_base(repository: str, ref: str, overlay: str) -> Base:
    """The overlay at a ref of a Git repository."""
    return Base(f"{repository}//overlays/{overlay}?ref={ref}", f"{repository}//plugins/inject?ref={ref}", "")


def check(cluster: Cluster) -> None:
    """Refuse what Kubernetes would refuse."""
    if not _DNS_LABEL.fullmatch(cluster.namespace):
        raise UsageFailure(f"--namespace: expected a-z, 0-9 and -, at most 63; got {cluster.namespace!r}", "name another namespace")
    if cluster.name_prefix and not _PREFIX.fullmatch(cluster.name_prefix):
        raise UsageFailure(f"--name-prefix: expected a-z, 0-9 and -, at most 31; got {cluster.name_prefix!r}", "for example: --name-prefix prod-")
    if cluster.license_secret and cluster.evaluation_license:
        raise UsageFailure("--license-secret, --evaluation-license: expected one of them; got both", "leave one out")
    if cluster.license_secret and not all(cluster.license_secret.partition(":")[::2]):
        raise UsageFailure(f"--license-secret: expected SECRET:KEY; got {cluster.license_secret!r}", "for example: --license-secret emqx-license:license")
    version = version_of_tag(parse_image(cluster.image).tag)
    if cluster.image and version is None:
        message = f"--image: expected a tag that names a version, such as emqx/emqx:5.8.9; got {cluster.image!r}"
        raise UsageFailure(message, "the variables, ports and probes of EMQX follow from its version: name it in the tag")
    members = cluster.replicas or _MEMBERS
    given = cluster.license_secret or cluster.evaluation_license
    if version and supported(version) and family(version).single_node_license and members > 1 and not given:
        message = f"--image: expected a licence: EMQX {version} starts {members} members only with a key that allows a cluster; got none"
        raise UsageFailure(message, "add --license-secret SECRET:KEY, or --evaluation-license for a trial, or --replicas 1")


def namespace_is_made(root: Path | None, namespace: str) -> str:
    """What makes the namespace already: another folder of the repository, or Kubernetes; empty where nothing does."""
    if namespace in _SHARED_NAMESPACES:
        return "Kubernetes"
    layers = project.layers(root) if root else []
    return next((project.shown(folder, root) for folder in layers if _makes(folder / "namespace.yaml", namespace)), "")


def _makes(file: Path, namespace: str) -> bool:
    if not file.is_file():
        return False
    documents = YAML(typ="safe").load_all(file.read_text(encoding="utf-8", errors="replace"))
    try:
        found = [item for item in documents if isinstance(item, dict) and item.get("kind") == "Namespace"]
    except YAMLError:
        return False  # not ours to mend here: a render of that folder says what is wrong
    return any(isinstance(item.get("metadata"), dict) and item["metadata"].get("name") == namespace for item in found)


def files(cluster: Cluster, base: Base) -> dict[str, str]:
    """The files of the new folder by name."""
    settings = _settings(cluster)
    result = {"kustomization.yaml": _dump(_kustomization(cluster, base, bool(settings)))}
    if cluster.own_namespace:
        result["namespace.yaml"] = _dump(_namespace(cluster))
    if settings:
        result["emqx.yaml"] = _emqx(settings, base)
    return {**result, "emqx.env": _ENV}


def write(folder: Path, contents: dict[str, str]) -> None:
    """Make the folder, whole or not at all; an existing one is refused."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageFailure(f"{project.shown(folder)}: expected a folder that is not there yet; it exists", "choose another name, or edit what is there")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.parent / f".{folder.name}.new-{os.getpid()}"
    try:
        staging.mkdir()
        for name, text in contents.items():
            (staging / name).write_text(text, encoding="utf-8", newline="\n")
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def next_steps(folder: str, cluster: Cluster, made_by: str) -> str:
    """What to do with the new folder, as commands; `made_by` says what makes its namespace, if the folder does not."""
    commands = [
        f"emqx-gitops validate {folder}",
        *([f"kubectl apply -f {folder}/namespace.yaml"] if cluster.own_namespace else []),
        f"emqx-gitops secrets {folder} | kubectl create -f -",
        f"emqx-gitops render {folder} | kubectl apply --server-side -f -",
    ]
    notes = [] if cluster.own_namespace else [f"the namespace {cluster.namespace} is that of {made_by}: none is written here"]
    if project.find_root(Path.cwd()) and Path(folder).parts[0] not in project.LAYER_FOLDERS:
        notes.append(f"--all does not see it: it looks below {' and '.join(f'{name}/' for name in project.LAYER_FOLDERS)}")
    return "\n  ".join(["\n".join([*notes, f"wrote {folder}; next:"]), *commands])


def _kustomization(cluster: Cluster, base: Base, patched: bool) -> CommentedMap:
    result = CommentedMap(apiVersion="kustomize.config.k8s.io/v1beta1", kind="Kustomization", namespace=_text(cluster.namespace))
    if cluster.name_prefix:
        result["namePrefix"] = cluster.name_prefix
    result["resources"] = [base.overlay, *(["namespace.yaml"] if cluster.own_namespace else [])]
    if cluster.replicas is not None:
        result["replicas"] = [{"name": WORKLOAD, "count": cluster.replicas}]
    if cluster.image:
        result["images"] = [_image(cluster.image)]
    if patched:
        result["patches"] = [{"path": "emqx.yaml"}]
    result["configMapGenerator"] = [{"name": "emqx-env", "behavior": "merge", "envs": ["emqx.env"]}]
    result["transformers"] = [base.inject]
    result.yaml_set_comment_before_after_key("transformers", before="Writes the EMQX environment and RBAC anew for what this layer changes.")
    return result


def _image(image: str) -> dict[str, str]:
    parts = parse_image(image)
    result = {"name": IMAGE}
    if parts.name != IMAGE:
        result["newName"] = parts.name
    result["newTag"] = parts.tag
    return {**result, "digest": parts.digest} if parts.digest else result


def _namespace(cluster: Cluster) -> CommentedMap:
    labels = CommentedMap({f"pod-security.kubernetes.io/{mode}": "restricted" for mode in _POD_SECURITY})
    return CommentedMap(apiVersion="v1", kind="Namespace", metadata=CommentedMap(name=_text(cluster.namespace), labels=labels))


def _settings(cluster: Cluster) -> dict[str, Any]:
    """What the cluster's EmqxCluster says other than the overlay's."""
    if cluster.evaluation_license:
        return {"license": {"type": "evaluation"}}
    if cluster.license_secret:
        name, _, key = cluster.license_secret.partition(":")
        return {"license": {"secretKeyRef": {"name": name, "key": key}}}
    return {}


def _emqx(settings: dict[str, Any], base: Base) -> str:
    document = CommentedMap(apiVersion=API_VERSION, kind="EmqxCluster", metadata={"name": WORKLOAD}, spec=settings)
    hint = f"# yaml-language-server: $schema={base.schema}\n" if base.schema else ""
    return f"{hint}# A patch: only what differs from the EmqxCluster of the overlay.\n{_dump(document)}"


def _text(name: str) -> str:
    """Quoted where a reader of YAML 1.1 would see a boolean: a namespace may be called `on`."""
    return DoubleQuotedScalarString(name) if name in _BOOLEANS else name


_ENV = """\
# EMQX settings of this cluster, one EMQX_…=value a line, on top of the overlay's. A changed line rolls the pods.
# EMQX_MQTT__MAX_PACKET_SIZE=2MB
"""


def _dump(document: CommentedMap) -> str:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()
