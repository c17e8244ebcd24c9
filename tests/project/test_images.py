"""What the images are made of. That they are built and run, `.ci/images` sees to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from spdx_tools.spdx.model.relationship import RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "sidecar.Dockerfile").read_text("utf-8")
LOCK = ROOT / "requirements" / "core.txt"


class Installation:
    """A folder of what is installed, and what pip would report of it: the lock's distributions, as they are here."""

    def __init__(self, folder: Path) -> None:
        self.site, self.report, self.out = folder / "site", folder / "report.json", folder / "out.spdx.json"
        self.site.mkdir()
        self.hashes = {"tiergate": "0" * 64}
        pins = re.split(r"^(?=[a-z0-9])", LOCK.read_text("utf-8"), flags=re.MULTILINE)[1:]
        first = {pin.partition("==")[0]: re.findall(r"sha256:([0-9a-f]{64})", pin)[0] for pin in pins}
        waiting = ["tiergate"]
        while waiting:
            name = waiting.pop()
            for requirement in map(Requirement, distribution(name).requires or ()):
                needed = canonicalize_name(requirement.name)
                applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
                if applies and needed not in self.hashes:
                    self.hashes[needed] = first[needed]
                    waiting.append(needed)
        for name in self.hashes:
            self.add(name)

    def add(self, name: str) -> None:
        """Install what is known of a distribution."""
        source = next(path for path in distribution(name).files or () if path.name == "METADATA").locate()
        folder = self.site / Path(str(source)).parent.name
        folder.mkdir()
        shutil.copy(str(source), folder / "METADATA")

    def bill(self, *, backwards: bool = False) -> subprocess.CompletedProcess[str]:
        """Have the bill of materials written."""
        entries = [
            {"metadata": {"name": name}, "download_info": {"archive_info": {"hashes": {"sha256": sha256}}}}
            for name, sha256 in sorted(self.hashes.items(), reverse=backwards)
        ]
        self.report.write_text(json.dumps({"install": entries}), "utf-8")
        script: list[str | Path] = [
            sys.executable,
            ROOT / "packaging" / "sbom.py",
            "--site",
            self.site,
            "--report",
            self.report,
        ]
        named: list[str | Path] = [
            "--lock",
            LOCK,
            "--image",
            "tiergate-sidecar",
            "--base",
            "python:3",
            "--image-version",
            "0.1.0",
        ]
        return subprocess.run(
            [*script, *named, "--out", self.out],
            env={"SOURCE_DATE_EPOCH": "1700000000"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A sidecar's."""
    return Installation(tmp_path)


def test_a_bill_of_materials_names_each_distribution_with_its_hash(installation: Installation) -> None:
    """It is valid SPDX, names what is installed by the files' hashes, and says what depends on what."""
    done = installation.bill()
    assert (done.returncode, done.stderr) == (0, "")
    document = parse_file(str(installation.out))
    assert not validate_full_spdx_document(document, "SPDX-2.3")
    assert {one.name: one.checksums[0].value for one in document.packages if one.checksums} == installation.hashes
    links = {
        (one.spdx_element_id, one.related_spdx_element_id)
        for one in document.relationships
        if one.relationship_type is RelationshipType.DEPENDS_ON
    }
    assert ("SPDXRef-Package-tiergate", "SPDXRef-Package-cedarpy") in links
    assert ("SPDXRef-Package-httpx", "SPDXRef-Package-httpcore") in links
    assert ("SPDXRef-Package-tiergate", "SPDXRef-Package-httpcore") not in links
    licenses = {one.name: str(one.license_declared) for one in document.packages}
    assert (licenses["tiergate"], licenses["httpx"]) == ("Apache-2.0", "BSD-3-Clause")


def test_the_same_installation_gives_the_same_bytes(installation: Installation) -> None:
    """Neither the order of pip's report nor the time of the day shows."""
    installation.bill()
    first = installation.out.read_bytes()
    installation.bill(backwards=True)
    assert installation.out.read_bytes() == first
    assert json.loads(first)["creationInfo"]["created"] == "2023-11-14T22:13:20Z"


def test_another_file_than_the_lock_allows_is_no_image(installation: Installation) -> None:
    """A hash that the lock does not have is an error that names the distribution, and nothing is written."""
    installation.hashes["httpx"] = "f" * 64
    done = installation.bill()
    assert done.returncode == 1
    assert "`httpx` 0." in done.stderr
    assert "f" * 64 in done.stderr
    assert not installation.out.exists()


def test_what_nobody_reported_is_not_passed_over(installation: Installation) -> None:
    """A distribution of unknown origin is an error."""
    installation.add("pytest")
    done = installation.bill()
    assert (done.returncode, done.stderr) == (
        1,
        "sbom: `pytest` is installed, but no report contains its file\n",
    )


def test_what_was_reported_must_be_there(installation: Installation) -> None:
    """A distribution that was installed and is gone is an error."""
    shutil.rmtree(next(installation.site.glob("httpcore-*")))
    done = installation.bill()
    assert (done.returncode, done.stderr) == (1, "sbom: reported as installed, but missing: httpcore\n")


def test_what_is_required_must_be_there(installation: Installation) -> None:
    """A requirement that is not installed is an error that names who requires it."""
    shutil.rmtree(next(installation.site.glob("httpcore-*")))
    del installation.hashes["httpcore"]
    done = installation.bill()
    assert (done.returncode, done.stderr) == (1, "sbom: `httpx` requires `httpcore`, which is not installed\n")


def test_what_nothing_requires_has_no_place_in_an_image(installation: Installation) -> None:
    """The lock is what it should be: nothing in it is left over."""
    shutil.rmtree(next(installation.site.glob("tiergate-*")))
    folder = installation.site / "tiergate-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tiergate\nVersion: 0.1.0\n", "utf-8")
    done = installation.bill()
    assert done.returncode == 1
    assert done.stderr.startswith("sbom: installed, but not required: annotated-doc, ")


def test_the_base_is_pinned() -> None:
    """The default base is an exact version of Python on an exact Debian, and named without a registry."""
    (base,) = re.findall(r"^ARG BASE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base)


@pytest.mark.parametrize("image", ["control-plane", "sidecar"])
def test_nothing_is_run_in_an_image_while_it_is_made(image: str) -> None:
    """So that a base without a shell will do; and the user is a number, which a cluster can hold against its policy."""
    stage = DOCKERFILE.partition(f"FROM ${{BASE}} AS {image}\n")[2].partition("\nFROM ")[0]
    assert "COPY --from=" in stage
    assert not re.search(r"^(RUN|ADD|VOLUME|SHELL)\b", stage, re.MULTILINE)
    assert re.findall(r"^USER (.+)$", stage, re.MULTILINE) == ["65532:65532"]
    assert re.findall(r"^(?:ENTRYPOINT|CMD) (.)", stage, re.MULTILINE) == ["[", "["]


def test_the_sidecar_is_what_is_built_without_a_target() -> None:
    """It is the last one."""
    assert re.findall(r"^FROM .* AS (\S+)$", DOCKERFILE, re.MULTILINE)[-1] == "sidecar"


def test_what_goes_into_the_wheel_goes_into_the_build() -> None:
    """`.dockerignore` lets through what the wheel is made of, and the locks that the Dockerfile names."""
    passed = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    locks = {f"requirements/{lock}.txt" for lock in ("image", "core", "control-plane", "usage-export")}
    assert passed >= {*wheel, *locks, "pyproject.toml", project["project"]["readme"]}
    assert all((ROOT / path).exists() for path in passed - {"wheelhouse"})
