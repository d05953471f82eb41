"""Files <-> an OCI artifact as Flux reads it: one layer, a config, a manifest. Same input, same bytes.

Media types and annotations: fluxcd/pkg, oci/push.go and oci/constants.go; folders: the image-layout of the OCI image specification.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

CONFIG_TYPE = "application/vnd.cncf.flux.config.v1+json"
LAYER_TYPE = "application/vnd.cncf.flux.content.v1.tar+gzip"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def digest(data: bytes) -> str:
    """The name of some content in a registry."""
    return f"sha256:{sha256(data).hexdigest()}"


def tarball(files: Mapping[str, str]) -> bytes:
    """The files in the order of their paths, without anything of the machine or the time."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files):
            data = files[path].encode()
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def compressed(data: bytes) -> bytes:
    """The data by gzip; `gzip.compress` would write another header with another Python."""
    sink = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as stream:
        stream.write(data)
    return sink.getvalue()


def files_of(layer: bytes) -> dict[str, str]:
    """The files of a layer. Raises ValueError for anything but plain text files."""
    try:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer)), mode="r:") as archive:
            return {member.name: _content(archive, member) for member in archive}
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(str(error)) from None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None:
        raise ValueError(f"{member.name}: no plain file")
    return stream.read().decode()


def write(folder: Path, files: Mapping[str, str], annotations: Mapping[str, str], created: str) -> str:
    """An image layout of one artifact in an empty folder; the digest of its manifest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    archive = tarball(files)
    config = _json(
        {"architecture": "", "config": {}, "created": created, "os": "", "rootfs": {"type": "layers", "diff_ids": [digest(archive)]}},
    )
    layer = compressed(archive)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [_descriptor(LAYER_TYPE, layer)],
            "annotations": dict(annotations),
        }
    )
    for data in (config, layer, manifest):
        (blobs / sha256(data).hexdigest()).write_bytes(data)
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": [_descriptor(_MANIFEST_TYPE, manifest)]}))
    return digest(manifest)


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def read(folder: Path, layer_digest: str) -> dict[str, str]:
    """The files of a layer in an image layout. Raises ValueError where it is not as `write` makes it."""
    return files_of((folder / "blobs" / layer_digest.replace(":", "/")).read_bytes())
