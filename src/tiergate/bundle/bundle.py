"""An open bundle: its revision, its catalog index, and its definitions and texts, read on demand.

Every read of a file verifies its size and hash against the manifest. Definitions are cached, up to a total number of
entitlements; texts are not cached. A bundle that replaces another adopts the definitions that are the same in both.

What is missing, damaged or does not match is a `BundleError` that names the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from tiergate import naming
from tiergate.bundle.definitions import Definitions, ValueTexts, adoptable
from tiergate.bundle.directory import check_content, read_file, sizes
from tiergate.bundle.manifest import MANIFEST, FileEntry, Manifest, decode_manifest, manifest_of
from tiergate.errors import BundleError
from tiergate.model import CatalogIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tiergate.model import Value

CATALOG = "catalog.json"
"""The catalog without the entitlements."""

DEFAULT_KEPT_ENTITLEMENTS = 500_000
"""Default number of cached entitlements of definitions: about 40 bytes each."""


_TEXTS_OF_ONE = 10
"""How many texts of values are forgotten with one definition."""


class _Uid(msgspec.Struct, frozen=True):
    type: str
    id: str


class _Entity(msgspec.Struct, frozen=True):
    uid: _Uid
    tags: dict[str, str] = {}


class Bundle:
    """A bundle in a directory or in memory. Safe to use from several threads."""

    def __init__(
        self,
        manifest: Manifest,
        read: Callable[[str, FileEntry], bytes],
        *,
        kept_entitlements: int = DEFAULT_KEPT_ENTITLEMENTS,
    ) -> None:
        """Use a manifest of `decode_manifest`, and a `read` that verifies what it returns; prefer `open`."""
        self._manifest = manifest
        self._read = read
        self.revision: str = manifest.revision
        try:
            self.index: CatalogIndex = msgspec.json.decode(self.content(CATALOG), type=CatalogIndex)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BundleError(CATALOG, f"is not a catalog index: {error}") from None
        self._definitions = Definitions(kept_entitlements)
        self._texts = ValueTexts(self.index.features)

    @classmethod
    def open(cls, directory: Path, *, kept_entitlements: int = DEFAULT_KEPT_ENTITLEMENTS) -> Self:
        """Open the bundle in `directory`, which must not change while it is open.

        This verifies the manifest, and that its files, and no others, exist with their sizes; every read of a file
        verifies its hash.
        """
        manifest = decode_manifest(read_file(directory, MANIFEST))
        found = sizes(directory)
        found.pop(MANIFEST, None)
        for path, entry in manifest.files.items():
            if path not in found:
                raise BundleError(path, "is missing")
            if found[path] != entry.size:
                raise BundleError(path, f"does not have the `{entry.size}` bytes that the manifest lists")
        for path in sorted(found.keys() - manifest.files.keys()):
            raise BundleError(path, "is not listed in the manifest")

        def read(path: str, entry: FileEntry) -> bytes:
            return read_file(directory, path, entry)

        return cls(manifest, read, kept_entitlements=kept_entitlements)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, kept_entitlements: int = DEFAULT_KEPT_ENTITLEMENTS) -> Self:
        """Open a bundle in memory: path → content, from the compiler.

        A manifest among the files is verified as by `open`; without one it is computed.
        """
        contents = {path: content for path, content in files.items() if path != MANIFEST}
        manifest = decode_manifest(files[MANIFEST]) if MANIFEST in files else manifest_of(contents)
        return cls.from_compiled(contents, manifest, kept_entitlements=kept_entitlements)

    @classmethod
    def from_compiled(
        cls, contents: Mapping[str, bytes], manifest: Manifest, *, kept_entitlements: int = DEFAULT_KEPT_ENTITLEMENTS
    ) -> Self:
        """Open a bundle in memory: path → content, and its verified manifest; every read verifies the content."""
        for path in sorted(manifest.files.keys() ^ contents.keys()):
            raise BundleError(path, "is missing" if path in manifest.files else "is not listed in the manifest")

        def read(path: str, entry: FileEntry) -> bytes:
            check_content(path, contents[path], entry)
            return contents[path]

        return cls(manifest, read, kept_entitlements=kept_entitlements)

    def paths(self, prefix: str = "") -> list[str]:
        """List the paths that begin with `prefix`, sorted."""
        return sorted(path for path in self._manifest.files if path.startswith(prefix))

    def hashes(self) -> dict[str, str]:
        """List the SHA-256 of every file, in hex, by path."""
        return {path: entry.sha256 for path, entry in self._manifest.files.items()}

    def content(self, path: str) -> bytes:
        """Read a file."""
        entry = self._manifest.files.get(path)
        if entry is None:
            raise BundleError(path, "is not listed in the manifest")
        return self._read(path, entry)

    def text(self, path: str) -> str:
        """Read a file as text."""
        try:
            return self.content(path).decode()
        except UnicodeDecodeError as error:
            raise BundleError(path, f"is not UTF-8: {error.reason}") from None

    def definition(self, ref: str) -> dict[str, Value]:
        """Return the definition of an item version such as `plan/pro@7`: feature id → value. Do not change it."""
        definition = self._definitions.get(ref)
        if definition is None:
            definition = self._read_definition(ref)
            self._definitions.put(ref, definition)
        return definition

    def adopt(self, before: Bundle) -> int:
        """Adopt from the bundle that this one replaces the cached definitions that are the same here; count them."""
        ours, theirs = self._manifest.files, before._manifest.files
        count = 0
        for ref, definition in adoptable(before._definitions, before.index.features, self.index.features):
            path = naming.item_entities_path(ref)
            if path in ours and ours[path] == theirs.get(path):
                self._definitions.put(ref, definition)
                count += 1
        return count

    def read_ahead(self, before: Bundle) -> int:
        """Read the definitions that will soon be needed in place of those cached in `before`; return their number.

        These are the same versions, and those that the catalog gives the holders of the same items.
        """
        refs = set(before._definitions.refs())
        held = {ref.rpartition("@")[0] for ref in refs}
        for item in self.index.items.values():
            if naming.item_ref(item.kind, item.id) in held:
                refs.update(naming.version_ref(item.kind, item.id, rollout.version) for rollout in item.rollouts)
        files = self._manifest.files
        missing = [
            ref for ref in sorted(refs) if ref not in self._definitions and naming.item_entities_path(ref) in files
        ]
        for place, ref in enumerate(missing):
            try:
                self.definition(ref)
            except BundleError:  # the check that needs it reports it
                return place
        return len(missing)

    def shed(self, count: int) -> bool:
        """Forget about `count` cached definitions, to free many in short steps; return whether any are left."""
        has_definitions = self._definitions.shed(count)
        return self._texts.shed(_TEXTS_OF_ONE * count) or has_definitions

    def _read_definition(self, ref: str) -> dict[str, Value]:
        path = naming.item_entities_path(ref)
        try:
            entities = msgspec.json.decode(self.content(path), type=list[_Entity])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BundleError(path, f"is not entity data: {error}") from None
        version = _Uid(**naming.item_uid(ref))
        given = [entity.tags for entity in entities if entity.uid == version]
        if len(given) != 1:
            raise BundleError(path, f"does not define `{ref}` exactly once")
        try:
            return self._texts.parse(given[0].items())
        except ValueError as error:
            raise BundleError(path, f"gives {error}") from None
