"""The builder of the test programs, with a compiler that takes no time and an apt that fetches nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

BUILD = Path(__file__).with_name("build.py")

# Answers `go version` and `go list`; otherwise counts itself and writes the file that -o names.
COMPILER = """#!/bin/sh
[ "$1" = version ] && { echo "go version go1.26.6 test/test"; exit; }
[ "$1" = list ] && { echo "$0.module"; exit; }
echo "$*" >> "$0.calls"
echo example.org/one >&2
while [ "$1" != -o ]; do shift; done
echo built > "$2"
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, building into a folder of the test's own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("build_under_test", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up.
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "OUTPUT", tmp_path / "out")
    monkeypatch.setattr(module, "GO", tmp_path / "go")
    write_compiler(tmp_path, COMPILER)
    return module


def write_compiler(folder: Path, script: str) -> None:
    (folder / "go").write_text(script)
    (folder / "go").chmod(0o755)


def calls(folder: Path) -> list[str]:
    return (folder / "go.calls").read_text().splitlines()


def test_builds_what_is_named_and_nothing_twice(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["etcd"]) == 0
    assert (tmp_path / "out" / "bin" / "etcd").read_text() == "built\n"
    assert "etcd v3.6.16: building, about a minute on two cores" in capsys.readouterr().out
    assert build.main(["etcd"]) == 0
    assert capsys.readouterr().out == "etcd: in out/bin\n"
    assert len(calls(tmp_path)) == 1


def test_builds_again_with_another_compiler(build: ModuleType, tmp_path: Path) -> None:
    assert build.main(["etcd"]) == 0
    write_compiler(tmp_path, COMPILER.replace("1.26.6", "1.26.7"))
    assert build.main(["etcd"]) == 0
    assert len(calls(tmp_path)) == 2


def test_kubernetes_knows_its_version(build: ModuleType, tmp_path: Path) -> None:
    assert build.main(["kubectl"]) == 0
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1" in calls(tmp_path)[0]


def test_failed_build_keeps_the_old_program_and_says_why(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["etcd"]) == 0
    write_compiler(tmp_path, COMPILER.replace("1.26.6", "1.26.7").replace("echo built", "echo main.go:1: what is this >&2; exit 1; echo"))
    capsys.readouterr()
    assert build.main(["etcd"]) == 3
    assert capsys.readouterr().err == (
        "build.py: etcd: go build failed\n  main.go:1: what is this\n  fix: mend what is said above; where modules come through a proxy, set GOPROXY\n"
    )
    assert (tmp_path / "out" / "bin" / "etcd").read_text() == "built\n"
    assert [path.name for path in (tmp_path / "out" / "bin").iterdir()] == ["etcd"]


def test_no_compiler(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "go").unlink()
    assert build.main(["etcd"]) == 3
    assert capsys.readouterr().err == f"build.py: {tmp_path / 'go'}: expected the Go compiler of the set-up\n  fix: make setup\n"


def test_unknown_program(build: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["etcdd"]) == 2
    assert capsys.readouterr().err == (
        "build.py: expected one of test-cluster, sync, e2e, kustomize-5.4, kustomize-5.6, kubectl, etcd, kube-controller-manager, kube-apiserver, "
        "kube-scheduler, kubelet, kube-proxy, kwok, coredns, source-controller, kustomize-controller, registry, argocd, kind, "
        "busybox, redis-server, containerd, runc, cni, browser, nft; got 'etcdd'\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="busybox is Linux's")
def test_without_names_only_what_test_cluster_needs(build: ModuleType, machine: Path, tmp_path: Path) -> None:
    (machine / "apt-get").unlink()
    install(machine, "busybox", "#!/bin/sh\n")
    (tmp_path / "debian.lock").write_text("busybox-static 1.35.0 0\n")
    assert build.main([]) == 0
    assert {path.name for path in (tmp_path / "out" / "bin").iterdir()} == {
        "busybox",
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
        "kustomize-5.4",
        "kustomize-5.6",
    }


def test_e2e_is_everything_that_needs_no_container_engine(build: ModuleType) -> None:
    assert build.chosen(["e2e", "kubectl"]) == [name for name in build.KNOWN if name != "kind"]


def test_sync_needs_no_node(build: ModuleType) -> None:
    assert set(build.chosen(["e2e"])) - set(build.chosen(["sync"])) == {"kubelet", "kube-proxy", "coredns", "containerd", "runc", "cni", "nft"}


def test_group_and_program_in_building_order(build: ModuleType) -> None:
    assert build.chosen(["kwok", "etcd", "kwok", "kubectl"]) == ["kubectl", "etcd", "kwok"]


def test_every_program_is_pinned_with_its_hash(build: ModuleType) -> None:
    for program in build.PROGRAMS:
        pin = f"{program.versioned_by} {build.version(program)} h1:"
        assert pin in (program.folder / "go.sum").read_text(), program.name


def test_argo_cd_knows_its_version(build: ModuleType, tmp_path: Path) -> None:
    write_module(tmp_path)
    assert build.main(["argocd"]) == 0
    assert "-X github.com/argoproj/argo-cd/v3/common.version=3.2.11" in calls(tmp_path)[0]


def test_kustomize_controller_is_no_kustomize(build: ModuleType, tmp_path: Path) -> None:
    assert build.linker_variables(build.KNOWN["kustomize-controller"]) == []
    assert build.linker_variables(build.KNOWN["kustomize-5.4"]) == ["-X sigs.k8s.io/kustomize/api/provenance.version=v5.4.3"]


def test_lacking_debian_package_is_told_before_the_long_builds(build: ModuleType, machine: Path, tmp_path: Path) -> None:
    (machine / "apt-get").unlink()
    assert build.main(["etcd", "redis-server"]) == 3
    assert not (tmp_path / "go.calls").exists()


def write_module(folder: Path) -> None:
    for name in ("crds/one.yaml", "crds/two/two.yaml", "crds/two/testdata/input.yaml", "crds/embed.go", "three.yaml"):
        path = folder / "go.module" / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o444)


def test_manifests_of_the_module_are_kept(build: ModuleType, tmp_path: Path) -> None:
    write_module(tmp_path)
    assert build.main(["argocd"]) == 0
    kept = tmp_path / "out" / "manifests" / "argocd"
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*.yaml")) == ["one.yaml", "two/two.yaml"]
    assert build.main(["argocd"]) == 0
    assert len(calls(tmp_path)) == 1


def test_lost_manifests_are_had_again(build: ModuleType, tmp_path: Path) -> None:
    write_module(tmp_path)
    assert build.main(["argocd"]) == 0
    shutil.rmtree(tmp_path / "out" / "manifests")
    assert build.main(["argocd"]) == 0
    assert (tmp_path / "out" / "manifests" / "argocd" / "one.yaml").exists()


def test_module_that_cannot_be_found_leaves_the_program_unmarked(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_compiler(tmp_path, COMPILER.replace('echo "$0.module"; exit', "echo no such module >&2; exit 1"))
    assert build.main(["argocd"]) == 3
    assert capsys.readouterr().err == "build.py: argocd: go list failed\n  no such module\n"
    assert not (tmp_path / "out" / "stamps" / "argocd").exists()


def test_module_without_its_manifests(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["argocd"]) == 3
    assert capsys.readouterr().err == f"build.py: argocd: expected YAML in {tmp_path / 'go.module' / 'manifests' / 'crds'}\n"


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import build
build.OUTPUT, build.GO = Path(sys.argv[2]) / "out", Path(sys.argv[2]) / "go"
sys.exit(build.main(["etcd"]))
"""


def test_interrupted_build_is_done_again(build: ModuleType, tmp_path: Path) -> None:
    write_compiler(tmp_path, COMPILER.replace("echo built", "sleep 60; echo"))
    with subprocess.Popen(
        [sys.executable, "-c", RUN, BUILD.parent, tmp_path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        while not (tmp_path / "go.calls").exists():
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=10)
    assert running.returncode == 130
    assert said.strip() == "build.py: interrupted; what was built stays, run it again for the rest"
    write_compiler(tmp_path, COMPILER)
    assert build.main(["etcd"]) == 0
    assert (tmp_path / "out" / "bin" / "etcd").read_text() == "built\n"


# Counts itself; `download` writes a file for each name=version.
APT = """#!/bin/sh
echo "$*" >> "$0.calls"
while [ "$1" != update ] && [ "$1" != download ]; do shift; done
[ "$1" = download ] || exit 0
shift
for pin; do echo "${pin%=*}" > "${pin%=*}_${pin#*=}_amd64.deb"; done
"""
# What is unpacked is a program that says where it looks for libraries.
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin"
printf '#!/bin/sh\\necho "$LD_LIBRARY_PATH"\\n' > "$3/usr/bin/redis-server"
chmod +x "$3/usr/bin/redis-server"
"""


@pytest.fixture
def machine(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the programs that are installed: one of Debian for x86_64 without redis."""
    folder = tmp_path / "installed"
    folder.mkdir()
    install(folder, "apt-get", APT)
    install(folder, "dpkg-deb", DPKG)
    for program in ("mkdir", "chmod"):
        (folder / program).symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(build.debian, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(build.debian, "CNI_FOLDERS", (str(tmp_path / "cni"),))
    monkeypatch.setattr(build.debian, "LOCK", tmp_path / "debian.lock")
    monkeypatch.setattr(build.debian, "OS_RELEASE", tmp_path / "os-release")
    (tmp_path / "os-release").write_text('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n')
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    [redis] = [tool for tool in build.debian.TOOLS if tool.name == "redis-server"]
    write_lock(tmp_path, {name: hashlib.sha256(f"{name}\n".encode()).hexdigest() for name in redis.packages})
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def write_lock(folder: Path, hashes: dict[str, str]) -> None:
    (folder / "debian.lock").write_text("# a comment\n" + "".join(f"{name} 5:7.0 {sha256}\n" for name, sha256 in hashes.items()))


def test_lock_names_every_package_that_is_taken(build: ModuleType) -> None:
    for tool in build.debian.TOOLS:
        assert [pin.package for pin in build.debian.pins(tool)] == ([] if tool.moving else list(tool.packages))


def test_debian_package_is_unpacked_once_and_finds_its_libraries(build: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["redis-server"]) == 0
    assert capsys.readouterr().out == "redis-server 5:7.0: unpacked from Debian's package\nredis-server: in out/bin\n"
    redis = tmp_path / "out" / "bin" / "redis-server"
    said = subprocess.run([redis], capture_output=True, text=True, check=True).stdout
    assert said == f"{tmp_path}/out/bin/../debian/redis-server/usr/lib/x86_64-linux-gnu\n"
    assert build.main(["redis-server"]) == 0
    assert capsys.readouterr().out == "redis-server: in out/bin\n"
    assert [line.split()[-1] for line in calls_of(machine, "apt-get")] == ["update", "liblzf1=5:7.0"]


def calls_of(folder: Path, name: str) -> list[str]:
    return (folder / f"{name}.calls").read_text().splitlines()


def test_debian_package_is_unpacked_anew_when_its_pin_changes(build: ModuleType, machine: Path, tmp_path: Path) -> None:
    assert build.main(["redis-server"]) == 0
    lock = tmp_path / "debian.lock"
    lock.write_text(lock.read_text().replace("5:7.0", "5:7.1"))
    assert build.main(["redis-server"]) == 0
    assert len(calls_of(machine, "apt-get")) == 4


NO_REDIS = "build.py: redis-server: expected Debian's package, or on PATH: redis-server\n"
FIX = "  fix: install redis-server; or, where Debian has moved on, pin anew: python3 tests/tools/debian.py\n"


def test_debian_package_with_another_hash_is_refused(build: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lock(tmp_path, dict.fromkeys(("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1"), "0" * 64))
    assert build.main(["redis-server"]) == 3
    got = hashlib.sha256(b"redis-server\n").hexdigest()
    assert capsys.readouterr().err == f"{NO_REDIS}  redis-server 5:7.0: expected SHA-256 {'0' * 64}, got {got}\n{FIX}"
    assert not (tmp_path / "out" / "bin" / "redis-server").exists()


def test_version_that_debian_no_longer_has(build: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(machine, "apt-get", "#!/bin/sh\necho \"E: Version '5:7.0' for 'redis-server' was not found\" >&2\nexit 100\n")
    assert build.main(["redis-server"]) == 3
    assert capsys.readouterr().err == f"{NO_REDIS}  apt-get says: E: Version '5:7.0' for 'redis-server' was not found\n{FIX}"


def test_neither_apt_nor_installed(build: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "apt-get").unlink()
    assert build.main(["redis-server"]) == 3
    assert capsys.readouterr().err == f"{NO_REDIS}  there is no apt-get here to take Debian's with\n{FIX}"


def test_installed_program_serves_where_apt_is_absent(build: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "apt-get").unlink()
    install(machine, "redis-server", "#!/bin/sh\n")
    assert build.main(["redis-server"]) == 0
    assert capsys.readouterr().out == (
        f"redis-server: {machine / 'redis-server'}, which is installed; there is no apt-get here to take Debian's with\nredis-server: in out/bin\n"
    )
    assert (tmp_path / "out" / "bin" / "redis-server").resolve() == machine / "redis-server"
    # Debian's, when it can be had, takes the name and leaves the installed one as it is.
    shutil.rmtree(tmp_path / "out" / "stamps")
    install(machine, "apt-get", APT)
    assert build.main(["redis-server"]) == 0
    assert (machine / "redis-server").read_text() == "#!/bin/sh\n"


def test_installed_program_serves_on_another_processor(
    build: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(machine, "redis-server", "#!/bin/sh\n")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert build.main(["redis-server"]) == 0
    assert "which is installed; Debian's are pinned for x86_64, and this is aarch64\n" in capsys.readouterr().out


UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n'
NEWER = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'


@pytest.mark.parametrize(("release", "name"), [(UBUNTU, "Ubuntu 24.04.3 LTS"), (NEWER, "Debian GNU/Linux 13 (trixie)"), (None, "a system without os-release")])
def test_installed_program_serves_on_another_system(
    build: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], release: str | None, name: str
) -> None:
    """What apt has there are other versions: it is not even asked."""
    (tmp_path / "os-release").unlink()
    if release is not None:
        (tmp_path / "os-release").write_text(release)
    install(machine, "redis-server", "#!/bin/sh\n")
    assert build.main(["redis-server"]) == 0
    reason = f"Debian's are pinned for Debian 12, and this is {name}"
    assert capsys.readouterr().out == f"redis-server: {machine / 'redis-server'}, which is installed; {reason}\nredis-server: in out/bin\n"
    assert not (machine / "apt-get.calls").exists()


def test_another_system_without_the_program(build: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "os-release").write_text(UBUNTU)
    assert build.main(["redis-server"]) == 3
    assert capsys.readouterr().err == f"{NO_REDIS}  Debian's are pinned for Debian 12, and this is Ubuntu 24.04.3 LTS\n{FIX}"


def test_installed_network_plugins_are_found_by_their_folder(build: ModuleType, machine: Path, tmp_path: Path) -> None:
    (machine / "apt-get").unlink()
    (tmp_path / "cni").mkdir()
    install(tmp_path / "cni", "bridge", "#!/bin/sh\n")
    (tmp_path / "debian.lock").write_text("containernetworking-plugins 1.1.1 0\n")
    assert build.main(["cni"]) == 0
    assert (tmp_path / "out" / "bin" / "cni" / "bridge").exists()


# libc6 is among what the browser depends on.
APT_NEWEST = """#!/bin/sh
case " $* " in *" install "*) for one in libc6 libnss3 chromium-headless-shell; do echo "$one" > "archives/${one}_7_amd64.deb"; done ;; esac
"""
DPKG_BROWSER = """#!/bin/sh
echo "$2" >> "${0%/*}/unpacked"
mkdir -p "$3/usr/lib/chromium"
printf '#!/bin/sh\\necho "$FONTCONFIG_SYSROOT"\\n' > "$3/usr/lib/chromium/chromium-headless-shell"
chmod +x "$3/usr/lib/chromium/chromium-headless-shell"
"""


def test_browser_comes_with_all_that_it_depends_on_but_the_loader(build: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(machine, "apt-get", APT_NEWEST)
    install(machine, "dpkg-deb", DPKG_BROWSER)
    assert build.main(["browser"]) == 0
    assert capsys.readouterr().out == "browser: unpacked from Debian's package\nbrowser: in out/bin\n"
    assert [Path(line).name for line in (machine / "unpacked").read_text().splitlines()] == ["chromium-headless-shell_7_amd64.deb", "libnss3_7_amd64.deb"]
    browser = tmp_path / "out" / "bin" / "chromium-headless-shell"
    assert subprocess.run([browser], capture_output=True, text=True, check=True).stdout == f"{tmp_path}/out/bin/../debian/browser\n"


def test_installed_browser_spares_the_download(build: ModuleType, machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(machine, "google-chrome", "#!/bin/sh\n")
    assert build.main(["browser"]) == 0
    reason = "Debian's is large and replaced every week"
    assert capsys.readouterr().out == f"chromium-headless-shell: {machine / 'google-chrome'}, which is installed; {reason}\nbrowser: in out/bin\n"
    assert not (machine / "apt-get.calls").exists()


def test_no_browser(build: ModuleType, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "apt-get").unlink()
    assert build.main(["browser"]) == 3
    assert capsys.readouterr().err == (
        "build.py: browser: expected Debian's package, or on PATH: chromium-headless-shell\n"
        "  there is no apt-get here to take Debian's with\n  fix: install chromium or google-chrome or chromium-browser\n"
    )
