"""The two sides of a comparison: files, a bundle's folder, or a bundle that a control plane keeps."""

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
_CURRENT: Final = frozenset({"published", "pending"})


class DiffSource(NamedTuple):
    """The rules that belong to a side's files, and the control plane, if one is given."""

    rules: Path | None
    control_plane: ControlPlane | None


def is_stored(name: str) -> bool:
    """Return whether a control plane keeps this side; a file of that name is written as `./published`."""
    return name in _CURRENT or name.startswith(("publication:", "revision:", "sha256:"))


def open_side(name: str, source: DiffSource) -> Bundle:
    """Open one side: compile files, open a bundle's folder, or download a bundle.

    Raises:
        SettingsError: if the name is not valid, or options do not fit it.
        AuthorError: if the files have problems.
        BundleError: if the bundle is damaged.
        RequestError, SyncError: if the control plane rejects the request, or does not answer.
    """
    from tiergate import publish
    from tiergate.bundle import MANIFEST, Bundle

    if is_stored(name):
        if source.rules is not None:
            raise SettingsError("rules", f"cannot be combined with `{name}`, which has its own")
        if source.control_plane is None:
            raise SettingsError("key-file", f"is required for `{name}`, which a control plane keeps")
        return _download(name, source.control_plane)
    path = Path(name)
    if (path / MANIFEST).is_file():
        if source.rules is not None:
            raise SettingsError("rules", f"cannot be combined with `{name}`: a bundle has its own")
        return Bundle.open(path)
    return Bundle.from_files(publish.compile_bundle([path], source.rules))


def _download(name: str, control_plane: ControlPlane) -> Bundle:
    from tiergate.bundle import MANIFEST, Bundle, encode_manifest, read_archive

    if name == "pending":
        content, revision = control_plane.download("/v1/pending/bundle")
    else:
        revision = _revision(name, control_plane)
        if not revision:
            return _empty()
        content, _ = control_plane.download(f"/v1/bundles/{revision}")
    archive = read_archive(content, revision)
    return Bundle.from_files({**archive.files, MANIFEST: encode_manifest(archive.manifest)})


def _revision(name: str, control_plane: ControlPlane) -> str:
    """Return the revision that a side names; an empty text if nothing is published."""
    if name == "published":
        newest = control_plane.call("GET", "/v1/publications", limit="1")["items"]
        return str(newest[0]["revision"]) if newest else ""
    publication = _PUBLICATION.fullmatch(name)
    if publication is not None:
        return str(control_plane.call("GET", f"/v1/publications/{publication[1]}")["revision"])
    revision = _REVISION.fullmatch(name)
    if revision is None:
        raise SettingsError("side", f"`{name}` must be `publication:17`, or `revision:sha256:` and 64 hex digits")
    return revision[1]


def _empty() -> Bundle:
    """Return the bundle of an empty catalog, which is active before the first publication."""
    from tiergate.bundle import Bundle
    from tiergate.compiler import compile_catalog
    from tiergate.model import Catalog

    return Bundle.from_files(compile_catalog(Catalog({}, {})))
