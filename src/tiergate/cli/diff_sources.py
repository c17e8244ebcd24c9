"""The two sides of a comparison as the command line names them: files, a bundle's folder, or what a store keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from tiergate.bundle import Bundle
    from tiergate.cli.control_plane_client import ControlPlane

_PUBLICATION: Final = re.compile(r"publication:([1-9][0-9]{0,17})")
_REVISION: Final = re.compile(r"(?:revision:)?(sha256:[0-9a-f]{64})")
_STANDING: Final = frozenset({"published", "pending"})


class DiffSource(NamedTuple):
    """Where sides come from: a folder of rules for files, and the control plane, where one is given."""

    rules: Path | None
    control_plane: ControlPlane | None


def is_stored(name: str) -> bool:
    """Say whether a side is one that a control plane keeps; a file of that name is written as `./published`."""
    return name in _STANDING or name.startswith(("publication:", "revision:", "sha256:"))


def open_side(name: str, source: DiffSource) -> Bundle:
    """Open one side: make the bundle of files, open one that was made, or fetch one.

    Raises:
        SettingsError: the name says nothing that there is, or options do not go with it.
        AuthorError: the files have problems.
        BundleError: the bundle is torn.
        RequestError, SyncError: the control plane refuses it, or does not answer.
    """
    from tiergate import publish
    from tiergate.bundle import MANIFEST, Bundle

    if is_stored(name):
        if source.rules is not None:
            raise SettingsError("rules", f"does not go with `{name}`, which has its own")
        if source.control_plane is None:
            raise SettingsError("key-file", f"is required for `{name}`, and so is the control plane that keeps it")
        return _fetched(name, source.control_plane)
    path = Path(name)
    if (path / MANIFEST).is_file():
        if source.rules is not None:
            raise SettingsError("rules", f"does not go with `{name}`: a bundle has its own")
        return Bundle.open(path)
    return Bundle.from_files(publish.compile_bundle([path], source.rules))


def _fetched(name: str, control_plane: ControlPlane) -> Bundle:
    from tiergate.bundle import MANIFEST, Bundle, encode_manifest, read_archive

    if name == "pending":
        content, revision = control_plane.download("/v1/pending/bundle")
    else:
        revision = _revision(name, control_plane)
        if not revision:
            return _empty()
        content, _ = control_plane.download(f"/v1/bundles/{revision}")
    found = read_archive(content, revision)
    return Bundle.from_files({**found.files, MANIFEST: encode_manifest(found.manifest)})


def _revision(name: str, control_plane: ControlPlane) -> str:
    """The revision that a side names; none where nothing is published."""
    if name == "published":
        newest = control_plane.call("GET", "/v1/publications", limit="1")["items"]
        return str(newest[0]["revision"]) if newest else ""
    publication = _PUBLICATION.fullmatch(name)
    if publication is not None:
        return str(control_plane.call("GET", f"/v1/publications/{publication[1]}")["revision"])
    revision = _REVISION.fullmatch(name)
    if revision is None:
        message = f"`{name}` must be such as `publication:17`, or `revision:sha256:` and 64 hex digits"
        raise SettingsError("side", message)
    return revision[1]


def _empty() -> Bundle:
    """The bundle of a catalog without anything: what is in force before the first publication."""
    from tiergate.bundle import Bundle
    from tiergate.compiler import compile_catalog
    from tiergate.model import Catalog

    return Bundle.from_files(compile_catalog(Catalog({}, {})))
