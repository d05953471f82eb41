"""An image out of this machine's own Python, so that nothing is pulled: an OCI layout in a tar, for `ctr images import`.

All names are one layer: the interpreter with its library, the shared libraries that `ldd` names, a few commands, and a folder of the tests as /opt/emqx.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What an image holds beside Python, of those that this machine has: what is in every image of EMQX too.
COMMANDS = ("awk", "base64", "bash", "cat", "curl", "date", "getent", "grep", "head", "sed", "sh", "sleep", "sort", "timeout", "tr")
# Parts of the standard library that no program here needs, most of its size.
LEFT_OUT = {"ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter", "turtledemo"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The user that every EMQX image runs as.
USER = 1000
PASSWD = f"root:x:0:0:root:/root:/bin/sh\nemqx:x:{USER}:{USER}:EMQX:/opt/emqx:/bin/sh\n"

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Image:
    """A name, and what a container of it runs."""

    name: str
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]


def write_images(path: Path, images: Sequence[Image], files: Mapping[str, Path]) -> None:
    """Writes a tar with these images. `files` are those of the tests: place in the image -> file or folder."""
    found = dict(contents(files))
    layer = path.with_suffix(".layer")
    write_layer(layer, found)
    with tarfile.open(path, "w") as tar:
        layout = Layout(tar, layer_descriptor(layer), libraries_of(found))
        tar.add(layer, layout.place(layout.layer["digest"]))
        layout.add_index(images)
    layer.unlink()


@dataclass(frozen=True)
class Layout:
    """The tar that is being written; blobs are named by their digests."""

    tar: tarfile.TarFile
    layer: dict[str, Any]
    library_path: str

    @staticmethod
    def place(digest: str) -> str:
        return f"blobs/{digest.replace(':', '/')}"

    def add_index(self, images: Sequence[Image]) -> None:
        manifests = [{**self.add_manifest(image), "annotations": {"io.containerd.image.name": image.name}} for image in images]
        add_text(self.tar, "index.json", json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
        add_text(self.tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}))

    def add_manifest(self, image: Image) -> dict[str, Any]:
        environment = {"PATH": "/opt/emqx/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": self.library_path, "PYTHONDONTWRITEBYTECODE": "1", **image.environment}
        config = {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {
                "User": "emqx",
                "WorkingDir": "/opt/emqx",
                "Entrypoint": list(image.entrypoint),
                "Env": [f"{name}={value}" for name, value in environment.items()],
            },
            "rootfs": {"type": "layers", "diff_ids": [self.layer["digest"]]},
        }
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.add_blob(CONFIG, config), "layers": [self.layer]}
        return self.add_blob(MANIFEST, manifest)

    def add_blob(self, media_type: str, value: Any) -> dict[str, Any]:
        text = json.dumps(value)
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        add_text(self.tar, self.place(digest), text)
        return {"mediaType": media_type, "digest": digest, "size": len(text)}


def contents(files: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Place in the image -> file of this machine."""
    # Not that of a virtual environment, which only points to it.
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}").resolve()
    commands = {f"/usr/bin/{name}": Path(found) for name in COMMANDS if (found := shutil.which(name))}
    standard = Path(sysconfig.get_path("stdlib"))
    library = {str(file): file for file in files_below(standard)}
    binaries = [python, *commands.values(), *(file for file in library.values() if file.suffix == ".so")]
    yield from {str(python): python, **commands, **library}.items()
    yield from ((name, Path(name)) for name in shared_libraries(binaries))
    for place, path in files.items():
        yield from ((f"{place}/{file.relative_to(path)}", file) for file in files_below(path)) if path.is_dir() else [(place, path)]


def files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT or path.name.startswith("config-") or ".opt-" in path.name:
            continue
        if path.is_dir():
            yield from files_below(path)
        elif path.is_file():
            yield path


def shared_libraries(binaries: Sequence[Path]) -> list[str]:
    """The absolute paths that `ldd` prints for them, the loader's with them."""
    said = subprocess.run(["ldd", *binaries], capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"(?:^|=>)\s*(/\S+) \(0x", said, re.MULTILINE)))


def libraries_of(found: Mapping[str, Path]) -> str:
    """Where the loader is to look, as there is no cache of its in the image."""
    return ":".join(sorted({str(Path(place).parent) for place in found if re.search(r"/lib[^/]*\.so[.\d]*$", place)}))


def write_layer(path: Path, found: Mapping[str, Path]) -> None:
    python = next(place for place in found if re.search(r"/bin/python3\.\d+$", place))
    with tarfile.open(path, "w") as tar:
        for folder in sorted({str(parent) for place in found for parent in Path(place).parents} | {"/run", "/var", "/etc", "/proc", "/sys", "/dev"}):
            add_folder(tar, folder, 0o755)
        add_folder(tar, "/tmp", 0o1777)
        for folder in ("data", "log"):
            add_folder(tar, f"/opt/emqx/{folder}", 0o755, USER)
        for name, target in (("/usr/bin/python3", python), ("/bin/sh", "/usr/bin/sh"), ("/var/run", "/run")):
            add_link(tar, name, target)
        add_text(tar, "etc/passwd", PASSWD)
        for place, file in found.items():
            add_file(tar, place, file)


def layer_descriptor(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": path.stat().st_size}


def add_folder(tar: tarfile.TarFile, place: str, mode: int, owner: int = 0) -> None:
    about = tarfile.TarInfo(place.strip("/") or ".")
    about.type, about.mode, about.uid, about.gid = tarfile.DIRTYPE, mode, owner, owner
    tar.addfile(about)


def add_link(tar: tarfile.TarFile, place: str, target: str) -> None:
    about = tarfile.TarInfo(place.strip("/"))
    about.type, about.linkname = tarfile.SYMTYPE, target
    tar.addfile(about)


def add_text(tar: tarfile.TarFile, place: str, text: str) -> None:
    about = tarfile.TarInfo(place)
    about.size, about.mode = len(text.encode()), 0o644
    tar.addfile(about, io.BytesIO(text.encode()))


def add_file(tar: tarfile.TarFile, place: str, file: Path) -> None:
    """The file itself, whatever links lead to it, readable by everybody."""
    with file.open("rb") as content:
        about = tarfile.TarInfo(place.strip("/"))
        about.size, about.mtime = file.stat().st_size, int(file.stat().st_mtime)
        about.mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
        tar.addfile(about, content)
