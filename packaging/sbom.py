"""Write an image's software bill of materials, in SPDX 2.3 JSON: the installed packages and their files.

It reads the installed environment and pip's report of the installation, which has the hash of each installed file. It
names the base image only: the base has its own bill of materials.

Rules:

- The document names all installed distributions and nothing else. The lock allows the hash of each one.
- Another distribution, and in the end Tiergate, requires each distribution.
- The same environment gives the same bytes: the caller sets the time, the content determines the namespace.
- If a rule is broken, it fails and writes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from spdx_tools.spdx.writer.json.json_writer import write_document_to_file

ROOT = "tiergate"
DOCUMENT = "SPDXRef-DOCUMENT"
IMAGE = "SPDXRef-Image"
BASE = "SPDXRef-Base"
LICENSES = get_spdx_licensing()


class BillError(Exception):
    """The installation differs from the lock file or from its requirements."""


class Installed(NamedTuple):
    """An installed distribution, and the SHA-256 of its file."""

    distribution: Distribution
    sha256: str

    @property
    def reference(self) -> str:
        """The identifier of the distribution in the document."""
        return f"SPDXRef-Package-{canonicalize_name(self.distribution.name)}"


def main(arguments: list[str]) -> int:
    """Write the bill of materials; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        allowed = locked(options.lock.read_text(encoding="utf-8"))
        hashes = {}
        for report in options.report:
            hashes |= reported(json.loads(report.read_text(encoding="utf-8")))
        found = installed(options.site, hashes, allowed)
        links = requirements(found, set(options.extra))
        document = describe(options, found, links)
        if problems := validate_full_spdx_document(document, "SPDX-2.3"):
            raise BillError("; ".join(problem.validation_message for problem in problems))
    except (BillError, OSError, ValueError) as error:
        sys.stderr.write(f"sbom: {error}\n")
        return 1
    write_document_to_file(document, str(options.out), validate=False)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments."""
    result = argparse.ArgumentParser(prog="sbom", description=__doc__.partition("\n")[0] if __doc__ else None)
    result.add_argument("--site", type=Path, required=True, help="the site-packages folder of the installation")
    result.add_argument("--report", type=Path, action="append", required=True, help="a file that `pip --report` wrote")
    result.add_argument("--lock", type=Path, required=True, help="the lock file that was installed")
    result.add_argument("--extra", action="append", default=[], help="an installed extra of Tiergate")
    result.add_argument("--image", required=True, help="the name of the image")
    result.add_argument("--base", required=True, help="the name of the base image")
    result.add_argument("--image-version", required=True, help="the version of the image")
    result.add_argument("--out", type=Path, required=True, help="the file to write")
    return result


def locked(text: str) -> dict[str, frozenset[str]]:
    """Return the hashes that a lock file allows, keyed by `name==version`."""
    pins = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    return {
        re.split(r"[\s;\\]", pin, maxsplit=1)[0]: frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", pin))
        for pin in pins
    }


def reported(report: dict[str, list[dict[str, dict[str, dict[str, dict[str, str]]]]]]) -> dict[str, str]:
    """Return the SHA-256 of each installed file from pip's report, by distribution."""
    return {
        canonicalize_name(str(entry["metadata"]["name"])): entry["download_info"]["archive_info"]["hashes"]["sha256"]
        for entry in report["install"]
    }


def installed(site: Path, hashes: dict[str, str], allowed: dict[str, frozenset[str]]) -> dict[str, Installed]:
    """Return the installed distributions by name, sorted.

    Raises:
        BillError: If a distribution is missing, is not in the report, or has a hash that the lock does not allow.
    """
    found: dict[str, Installed] = {}
    for distribution in distributions(path=[str(site)]):
        name = canonicalize_name(distribution.name)
        if name not in hashes:
            raise BillError(f"`{name}` is installed, but no report contains its file")
        if name != ROOT and hashes[name] not in allowed.get(f"{name}=={distribution.version}", ()):
            raise BillError(f"`{name}` {distribution.version} does not match the lock: sha256 {hashes[name]}")
        found[name] = Installed(distribution, hashes[name])
    if missing := hashes.keys() - found.keys():
        raise BillError(f"reported as installed, but missing: {', '.join(sorted(missing))}")
    return dict(sorted(found.items()))


def requirements(found: dict[str, Installed], extras: set[str]) -> list[tuple[str, str]]:
    """Return the pairs `(name, required name)`, sorted, starting from Tiergate with these extras.

    Raises:
        BillError: If a requirement is not installed, or no distribution requires an installed one.
    """
    links: set[tuple[str, str]] = set()
    waiting = [(ROOT, extra) for extra in {"", *extras}]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for requirement in map(Requirement, found[name].distribution.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            needed = canonicalize_name(requirement.name)
            if needed not in found:
                raise BillError(f"`{name}` requires `{needed}`, which is not installed")
            if needed != name:
                links.add((name, needed))
            further = {(needed, wanted) for wanted in {"", *requirement.extras}} - seen
            seen |= further
            waiting.extend(further)
    if stray := found.keys() - {name for name, _ in seen}:
        raise BillError(f"installed, but not required: {', '.join(sorted(stray))}")
    return sorted(links)


def describe(options: argparse.Namespace, found: dict[str, Installed], links: list[tuple[str, str]]) -> Document:
    """Return the document: the image, its base, its packages and their dependencies."""
    image = Package(
        spdx_id=IMAGE,
        name=options.image,
        version=options.image_version,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        primary_package_purpose=PackagePurpose.CONTAINER,
    )
    base = Package(
        spdx_id=BASE,
        name=options.base,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        primary_package_purpose=PackagePurpose.CONTAINER,
        comment="The base image has its own bill of materials.",
    )
    relationships = [
        Relationship(DOCUMENT, RelationshipType.DESCRIBES, IMAGE),
        Relationship(IMAGE, RelationshipType.DESCENDANT_OF, BASE),
        *(Relationship(IMAGE, RelationshipType.CONTAINS, one.reference) for one in found.values()),
        *(
            Relationship(found[name].reference, RelationshipType.DEPENDS_ON, found[needed].reference)
            for name, needed in links
        ),
    ]
    content = "\n".join(
        [options.image, options.image_version, options.base]
        + [f"{name} {one.distribution.version} {one.sha256}" for name, one in found.items()]
    )
    creation = CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id=DOCUMENT,
        name=f"{options.image}-{options.image_version}",
        document_namespace=f"urn:tiergate:sbom:{options.image}:{hashlib.sha256(content.encode()).hexdigest()}",
        creators=[Actor(ActorType.TOOL, "tiergate-sbom")],
        created=datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH") or 0), UTC).replace(tzinfo=None),
    )
    return Document(creation, [image, base, *map(package, found.values())], relationships=relationships)


def package(one: Installed) -> Package:
    """Return the package of one distribution."""
    metadata = one.distribution.metadata
    name, version = canonicalize_name(one.distribution.name), one.distribution.version
    return Package(
        spdx_id=one.reference,
        name=name,
        version=version,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, one.sha256)],
        license_declared=license_of(metadata.get("License-Expression") or metadata.get("License")),
        summary=metadata.get("Summary"),
        external_references=[
            ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", f"pkg:pypi/{name}@{version}")
        ],
        primary_package_purpose=PackagePurpose.APPLICATION if name == ROOT else PackagePurpose.LIBRARY,
    )


def license_of(text: str | None) -> object:
    """Return a licence as an SPDX expression, or no assertion if the text is not one."""
    try:
        return LICENSES.parse(text, validate=True) if text else SpdxNoAssertion()
    except ExpressionError:
        return SpdxNoAssertion()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
