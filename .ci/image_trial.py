"""What `.ci/images` built, held against what is promised of it: equal builds, size, bill of materials, and a real run.

Usage: image_trial.py ROOM NAME=ROOT…, where ROOM holds `<name>.json`, the images' configurations, and `pushed/`, the
images as a registry gets them. As root.

A run is one as a strict cluster gives it: by the image's own user, entry point and environment, on a read-only root,
without a shell, without a network but loopback, with nothing to write to but the folders that are mounted.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import statistics
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

MEGABYTE = 1_000_000
MOST_ABOVE_BASE = 60 * MEGABYTE
MOST_RSS = 80 * MEGABYTE
MOST_TO_READY = 1.0
STARTS = 5
USER = 65532
SHELLS = ("bash", "dash", "sh", "rbash")
WRITABLE = ("var/lib/tiergate", "run/tiergate")
CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWIPC = 0x00020000, 0x40000000, 0x08000000


class Image:
    """An image, unpacked, with its configuration."""

    def __init__(self, room: Path, name: str, root: Path) -> None:
        self.name, self.root = name, root
        self.described = json.loads((room / f"{name}.json").read_text("utf-8"))
        self.config = self.described["config"]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it sets."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    def command(self, *arguments: str, exact: bool = False) -> list[str]:
        """What is run in it: the entry point with these arguments, or with its own, or exactly these."""
        inside = list(arguments) if exact else self.config["Entrypoint"] + (list(arguments) or self.config["Cmd"])
        user = self.config["User"]
        return ["chroot", f"--userspec={user}", "--groups=", str(self.root), *inside]

    def start(self, settings: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
        """Start it, with these variables beside its own."""
        return subprocess.Popen(self.command(*arguments), env=self.environment | settings)

    def run(self, *arguments: str, exact: bool = False, settings: dict[str, str] | None = None) -> str:
        """Run something in it to its end, which must be a good one; return what it says."""
        return subprocess.run(
            self.command(*arguments, exact=exact),
            env=self.environment | (settings or {}),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def sample(self) -> str:
        """The folder of the sample, as seen from within."""
        (found,) = self.root.glob("opt/tiergate/lib/python3*/site-packages/tiergate/examples/streaming")
        return f"/{found.relative_to(self.root)}"


def main(room: Path, images: dict[str, Image]) -> None:
    """Try everything; whatever does not hold is raised."""
    for name in ("sidecar", "control-plane"):
        compare(images[f"{name}-index"], images[f"{name}-wheels"])
        configured(images[f"{name}-index"])
        size(room, name)
        bill(images[f"{name}-index"], f"tiergate-{name}")
    alone()
    sidecar, control_plane = images["sidecar-index"], images["control-plane-index"]
    for image in (sidecar, control_plane):
        shut(image)
    embedded(sidecar)
    together(control_plane, sidecar)


# ── The image itself ─────────────────────────────────────────────────────────────────────────────────────────────────


def compare(one: Image, other: Image) -> None:
    """Two builds, one of them from a folder of wheels and without a network, are equal to the byte."""
    first, second = tree(one.root), tree(other.root)
    different = sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
    assert not different, f"two builds of {one.name} differ in {different[:10]}"
    assert one.described["rootfs"] == other.described["rootfs"], "the same files in other layers"
    machines = {"Hostname": ""}  # buildah's own name for where it built
    assert one.config | machines == other.config | machines
    print(f"{one.name}: two builds are equal, {len(first)} files, the time of each included")


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Every file below a folder, with all that an image says of it."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            about = path.lstat()
            content = ""
            if path.is_symlink():
                content = str(path.readlink())
            elif stat.S_ISREG(about.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            kind = stat.S_ISDIR(about.st_mode)  # a folder's time changes as it is unpacked
            found[str(path.relative_to(root))] = (
                about.st_mode,
                about.st_uid,
                about.st_gid,
                content,
                None if kind else int(about.st_mtime),
            )
    return found


def configured(image: Image) -> None:
    """It says who runs it, what is run, how its health is asked, and what it is."""
    config = image.config
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["/usr/bin/env", "--block-signal=TERM,INT", "/opt/tiergate/bin/tiergate"]
    assert config["Healthcheck"]["Test"][:4] == ["CMD", "/opt/tiergate/bin/python", "-m", "tiergate.cli.health"]
    assert not config.get("Volumes")
    labels = config["Labels"]
    for label in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert labels[f"org.opencontainers.image.{label}"], label
    installed = image.root / "opt/tiergate"
    names = {path.name.partition("-")[0] for path in installed.glob("lib/python3*/site-packages/*.dist-info")}
    assert "tiergate" in names
    assert ("sqlmodel" in names) == image.name.startswith("control-plane")
    assert not names & {"pip", "setuptools", "hatchling", "spdx_tools", "pytest"}
    assert {path.name for path in (installed / "bin").iterdir()} >= {"python", "tiergate"}
    for source in installed.rglob("*.py"):
        compiled = list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))
        assert compiled, f"{source} is not compiled"
    for path in installed.rglob("*"):
        about = path.lstat()
        assert about.st_uid == 0, f"{path} is not root's"
        assert path.is_symlink() or not about.st_mode & 0o022, f"{path} can be written by others"


def size(room: Path, name: str) -> None:
    """What it adds to its base, compressed, as it is pulled."""
    own, below = (sum(layers(room / "pushed" / each).values()) for each in (name, "base"))
    assert set(layers(room / "pushed/base")) <= set(layers(room / "pushed" / name))
    print(f"{name}: {(own - below) / MEGABYTE:.1f} MB compressed above the base of {below / MEGABYTE:.1f} MB")
    assert own - below <= MOST_ABOVE_BASE


def layers(folder: Path) -> dict[str, int]:
    """The compressed size of each layer of a pushed image."""

    def blob(digest: str) -> dict[str, list[dict[str, str]]]:
        return json.loads((folder / "blobs" / digest.replace(":", "/")).read_text("utf-8"))  # type: ignore[no-any-return]

    (entry,) = json.loads((folder / "index.json").read_text("utf-8"))["manifests"]
    return {layer["digest"]: int(layer["size"]) for layer in blob(entry["digest"])["layers"]}


def bill(image: Image, name: str) -> None:
    """The bill of materials names what is installed, no more and no less, by the hashes of the lock."""
    document = json.loads((image.root / f"usr/share/sbom/{name}.spdx.json").read_text("utf-8"))
    assert document["spdxVersion"] == "SPDX-2.3"
    packages = {package["name"]: package for package in document["packages"] if "checksums" in package}
    found = {
        path.name.split("-")[0].lower().replace("_", "-").replace(".", "-"): path.name.split("-")[1][: -len(".dist")]
        for path in image.root.glob("opt/tiergate/lib/python3*/site-packages/*.dist-info")
    }
    assert {name: package["versionInfo"] for name, package in packages.items()} == {
        name: version.removesuffix(".dist") for name, version in found.items()
    }
    print(f"{image.name}: bill of materials of {len(packages)} packages")


# ── Where it is run ──────────────────────────────────────────────────────────────────────────────────────────────────


def alone() -> None:
    """Take this process out of the machine's mounts and network; loopback alone is left."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        up = struct.pack("16sh", b"lo", 1 | 64)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(probe, 0x8914, up)  # SIOCSIFFLAGS


def mount(*arguments: str | Path) -> None:
    """Mount, for this process alone."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def shut(image: Image) -> None:
    """Make its root read-only, take its shells away, and mount what may be written."""
    devices = [image.root / "dev" / name for name in ("null", "zero", "urandom", "random")]
    mount("--bind", image.root, image.root)
    mount("-o", "remount,ro,bind", image.root)
    mount("-t", "proc", "proc", image.root / "proc")
    mount("-t", "tmpfs", "tmpfs", image.root / "dev")
    for device in devices:
        device.touch()
        mount("--bind", f"/dev/{device.name}", device)
    for folder in filter(Path.is_dir, (image.root / name for name in WRITABLE)):
        assert folder.stat().st_uid == USER, f"{folder} is not the user's"
        mount("-t", "tmpfs", "-o", f"uid={USER},gid={USER},mode=0700,noexec,nosuid", "tmpfs", folder)
    if image.name.startswith("control-plane"):  # compares catalogs in temporary files
        mount("-t", "tmpfs", "-o", "mode=1777,noexec,nosuid", "tmpfs", image.root / "tmp")
    for shell in (image.root / folder / name for folder in ("usr/bin", "bin") for name in SHELLS):
        if shell.is_file() and not shell.is_symlink():
            mount("--bind", "/dev/null", shell)
    refused(image, "there is a shell", "/bin/sh", "-c", "true")
    refused(image, "the root can be written", "/opt/tiergate/bin/python", "-c", "open('/opt/tiergate/x', 'w')")


def refused(image: Image, otherwise: str, *command: str) -> None:
    """See that this command fails in the image."""
    tried = subprocess.run(image.command(*command, exact=True), stderr=subprocess.DEVNULL, check=False)
    assert tried.returncode, f"{image.name}: {otherwise}"


@contextmanager
def running(image: Image, probe: str, settings: dict[str, str], *arguments: str) -> Iterator[tuple[float, int]]:
    """Run it until it is ready and further; say how long that took, in seconds, and its process.

    Afterwards it is ended by SIGTERM, which must end it well.
    """
    began = time.perf_counter()
    process = image.start(settings, *arguments)
    try:
        while not answers(probe):
            assert process.poll() is None, f"{image.name} ended with {process.returncode}"
            assert time.perf_counter() - began < 60, f"{image.name} is not ready after a minute"
            time.sleep(0.002)
        yield time.perf_counter() - began, process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, f"{image.name} ended with {process.returncode}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Tell whether this answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def check(question: dict[str, object]) -> dict[str, object]:
    """Ask the sidecar."""
    request = urllib.request.Request(
        "http://127.0.0.1:8437/v1/check",
        data=json.dumps(question).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def resident(process: int) -> int:
    """The most memory that a process has had, in bytes, once whom it started have ended."""
    while children(process):
        time.sleep(0.01)
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024


def busy(process: int) -> float:
    """How long a process has been computing, in seconds."""
    times = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def children(process: int) -> list[int]:
    """Return the processes that a process started, and those that they started; any of them may end meanwhile."""
    found: list[int] = []
    with ending():
        for thread in Path(f"/proc/{process}/task").iterdir():
            with ending():
                started = (thread / "children").read_text("utf-8").split()
                for child in map(int, started):
                    found += [child, *children(child)]
    return found


def ending() -> AbstractContextManager[None]:
    """Ignore that a process or thread has ended: before it is looked at (no such file), or while it is read."""
    return suppress(FileNotFoundError, ProcessLookupError)


# ── The runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LAST_MOVIE: dict[str, object] = {"subject": "ada", "feature": "movies", "amount": 1, "used": 69}
ONE_TOO_MANY: dict[str, object] = LAST_MOVIE | {"used": 70}


def embedded(sidecar: Image) -> None:
    """The sidecar with the sample: how soon it is ready, what it says, how large it is."""
    sample = sidecar.sample()
    settings = {
        "TIERGATE_CATALOG": f"{sample}/catalog.yaml",
        "TIERGATE_SUBJECTS": f"{sample}/subjects.yaml",
        "TIERGATE_RULES": f"{sample}/rules",
        "TIERGATE_DATA": "/var/lib/tiergate",
        "TIERGATE_UDS": "/run/tiergate/sidecar.sock",
        "TIERGATE_LOG_LEVEL": "warning",
    }
    fresh: list[float] = []
    again: list[float] = []
    sizes, computing = [], []
    # Other work on the machine only ever makes a start longer: the shortest is the image's own.
    while len(again) < STARTS or (min(again) > MOST_TO_READY and len(again) < 5 * STARTS):
        for path in (sidecar.root / "var/lib/tiergate").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for starts in (fresh, again):
            with running(sidecar, "http://127.0.0.1:8438/readyz", settings) as (seconds, process):
                computing.append(busy(process))
                starts.append(seconds)
                assert check(LAST_MOVIE)["allowed"] is True
                assert check(ONE_TOO_MANY)["reason"] == "limit_reached"
                assert sidecar.run(*sidecar.config["Healthcheck"]["Test"][1:], exact=True).strip() == "ready"
                assert (sidecar.root / "run/tiergate/sidecar.sock").is_socket()
                sizes.append(resident(process))
    print(
        f"sidecar: ready after {min(again):.2f} s with its data, {min(fresh):.2f} s without (shortest of {len(again)}; "
        f"medians {statistics.median(again):.2f} and {statistics.median(fresh):.2f}; {min(computing):.2f} s of "
        f"computing at least), {max(sizes) / MEGABYTE:.1f} MB resident at most"
    )
    assert min(again) <= MOST_TO_READY
    assert max(sizes) <= MOST_RSS


def together(control_plane: Image, sidecar: Image) -> None:
    """A control plane, read-only as well, and a sidecar that follows it."""
    database = "sqlite:////var/lib/tiergate/store.sqlite"
    handed = control_plane.root / "var/lib/tiergate/sidecar.json"
    url = "http://127.0.0.1:8440"
    quiet = {"TIERGATE_CP_DATABASE": database, "TIERGATE_CP_LOG_LEVEL": "warning"}
    with running(control_plane, f"{url}/readyz", quiet) as (seconds, process):
        health = control_plane.config["Healthcheck"]["Test"][1:]
        assert control_plane.run(*health, exact=True).strip() == "ready"
        key = "/var/lib/tiergate/admin.key"
        control_plane.run("keys", "bootstrap-admin", "--database", database, "--out", key)
        asking = ("--key-file", key, "--control-plane", url)
        sample = control_plane.sample()
        files = ("--file", f"{sample}/catalog.yaml", "--rules", f"{sample}/rules")
        control_plane.run("apply", *files, "--subjects", f"{sample}/subjects.yaml", *asking)
        control_plane.run(
            "keys",
            "create",
            "trial",
            "--role",
            "sidecar",
            "--out",
            f"/{handed.relative_to(control_plane.root)}",
            *asking,
        )
        given = sidecar.root / "run/tiergate/sidecar.json"
        shutil.copy(handed, given)
        os.chown(given, USER, USER)
        settings = {
            "TIERGATE_KEY_FILE": "/run/tiergate/sidecar.json",
            "TIERGATE_DATA": "/var/lib/tiergate/follows",
            "TIERGATE_LOG_LEVEL": "warning",
        }
        with running(sidecar, "http://127.0.0.1:8438/readyz", settings) as (following, follower):
            assert check(LAST_MOVIE)["allowed"] is True
            assert check(ONE_TOO_MANY)["allowed"] is False
            follows = resident(follower)
        print(
            f"control-plane: ready after {seconds:.2f} s with an empty store, "
            f"{resident(process) / MEGABYTE:.1f} MB resident; a sidecar that follows it, after {following:.2f} s, "
            f"{follows / MEGABYTE:.1f} MB resident"
        )
        assert follows <= MOST_RSS


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    given_roots = dict(argument.split("=", 1) for argument in sys.argv[2:])
    main(folder, {name: Image(folder, name, Path(root)) for name, root in given_roots.items()})
