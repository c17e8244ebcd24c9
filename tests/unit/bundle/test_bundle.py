from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from tiergate.bundle import MANIFEST, Bundle, encode_manifest, write_bundle
from tiergate.bundle.manifest import manifest_of
from tiergate.errors import BundleError
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    CatalogIndex,
    Feature,
    FeatureType,
    IndexedItem,
    ItemKind,
    Level,
    Per,
    Rollout,
    Switch,
)
from tiergate.model.canonical_json import canonical_json

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = {
    feature.id: feature
    for feature in [
        Feature(id="analytics", type=FeatureType.SWITCH),
        Feature(id="movies", type=FeatureType.QUANTITY),
        Feature(id="storage", type=FeatureType.QUANTITY, scale=3),
        Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "unlimited")),
    ]
}
INDEX = CatalogIndex(
    FEATURES, {"pro": IndexedItem(id="pro", kind=ItemKind.PLAN, versions=(7,), rollouts=(Rollout(7),))}
)
PRO = "entities/items/plan/pro@7.json"


def entities(tags: dict[str, str], ref: str = "plan/pro@7") -> bytes:
    """An entity file that gives `tags`."""
    version = {"uid": {"type": "Item", "id": ref}, "attrs": {}, "parents": [], "tags": tags}
    item = {"uid": {"type": "Item", "id": "plan/pro"}, "attrs": {}, "parents": []}
    return canonical_json([version, item])


def files(tags: dict[str, str] | None = None) -> dict[str, bytes]:
    """A small bundle whose one item gives `tags`."""
    return {"catalog.json": canonical_json(INDEX), PRO: entities(tags or {}), "schema.cedarschema": "# é\n".encode()}


OpenFiles = Callable[[dict[str, bytes]], Bundle]


@pytest.fixture(params=["directory", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> OpenFiles:
    """Open a bundle both ways."""

    def open_files(content: dict[str, bytes]) -> Bundle:
        if request.param == "memory":
            return Bundle.from_files(content)
        write_bundle(content, tmp_path / "bundle")
        return Bundle.open(tmp_path / "bundle")

    return open_files


def test_a_bundle_knows_its_revision_and_its_index(opened: OpenFiles) -> None:
    """An opened bundle says its revision and the catalog's index."""
    bundle = opened(files())
    assert bundle.revision == manifest_of(files()).revision
    assert bundle.index == INDEX


def test_a_definition_is_read_in_the_terms_of_its_features(opened: OpenFiles) -> None:
    """Each text becomes the value that it means for the feature's type and scale."""
    tags = {"analytics": "false", "movies": "+10", "storage": "2.5 per subscription", "support": "unlimited"}
    assert opened(files(tags)).definition("plan/pro@7") == {
        "analytics": Switch(on=False),
        "movies": AddedAmount(10),
        "storage": Amount(2500, Per.SUBSCRIPTION),
        "support": Level("unlimited"),
    }
    assert opened(files({"movies": "unlimited"})).definition("plan/pro@7") == {"movies": UNLIMITED}


def test_paths_are_sorted_and_selected_by_prefix(opened: OpenFiles) -> None:
    """A part of the bundle can be listed; the manifest is not part of it."""
    bundle = opened(files())
    assert bundle.paths() == ["catalog.json", PRO, "schema.cedarschema"]
    assert bundle.paths("entities/") == [PRO]
    assert bundle.hashes().keys() == set(bundle.paths())


def test_a_text_is_read_as_utf_8(opened: OpenFiles) -> None:
    """A file's text can be had."""
    assert opened(files()).text("schema.cedarschema") == "# é\n"


def test_a_text_that_is_not_utf_8_names_its_file(opened: OpenFiles) -> None:
    """A file that is no text is refused where text is asked for."""
    with pytest.raises(BundleError, match=r"`policies/x.cedar`: is not UTF-8"):
        opened(files() | {"policies/x.cedar": b"\xff"}).text("policies/x.cedar")


def test_an_unlisted_file_cannot_be_read(opened: OpenFiles) -> None:
    """Only what the manifest lists is part of the bundle; a path out of it is nothing that it lists."""
    for path in ["policies/nothing.cedar", "../catalog.json", MANIFEST]:
        with pytest.raises(BundleError, match="is not listed in the manifest"):
            opened(files()).content(path)


def test_an_unknown_version_is_refused(opened: OpenFiles) -> None:
    """A version that the bundle does not hold is an error that names the file which it would be in."""
    with pytest.raises(BundleError, match=r"entities/items/plan/pro@8.json"):
        opened(files()).definition("plan/pro@8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[", "is not entity data"),
        (b"{}", "is not entity data"),
        (b"[]", "does not define `plan/pro@7` exactly once"),
        (entities({}, "plan/pro@8"), "does not define `plan/pro@7` exactly once"),
        (entities({"nothing": "3"}), "gives `nothing`, which the catalog does not have"),
        (entities({"analytics": "3"}), "gives `analytics` what cannot be read: `3` is not a value of a switch"),
        (entities({"movies": "1.5"}), "gives `movies` what cannot be read: must be a whole number"),
        (entities({"movies": "many"}), "gives `movies` what cannot be read: `many` is not a number"),
        (entities({"movies": "NaN"}), "gives `movies` what cannot be read: must be a finite number"),
        (entities({"movies": "3 per moon"}), "gives `movies` what cannot be read"),
        (entities({"support": "fax"}), "gives `support` what cannot be read: `fax` is not a level of `support`"),
    ],
)
def test_entity_data_that_says_nothing_sensible_is_refused(opened: OpenFiles, content: bytes, message: str) -> None:
    """A definition that cannot be understood is an error that names its file, whoever listed its hash."""
    with pytest.raises(BundleError, match=message) as caught:
        opened(files() | {PRO: content}).definition("plan/pro@7")
    assert caught.value.path == PRO


@pytest.mark.parametrize("content", [b"", b"[]", b'{"features": {}}', b'{"features": ' + b"[" * 100_000])
def test_a_broken_index_is_refused_at_once(opened: OpenFiles, content: bytes) -> None:
    """A bundle without a readable catalog index does not open."""
    with pytest.raises(BundleError, match=r"`catalog.json`: is not a catalog index"):
        opened(files() | {"catalog.json": content})


def test_a_bundle_without_index_is_refused(opened: OpenFiles) -> None:
    """A bundle that holds no catalog index does not open."""
    with pytest.raises(BundleError, match=r"`catalog.json`: is not listed"):
        opened({"schema.cedarschema": b""})


def test_a_missing_file_is_found_at_once(tmp_path: Path) -> None:
    """A torn bundle does not open, and the error names what is missing."""
    write_bundle(files(), tmp_path)
    (tmp_path / PRO).unlink()
    with pytest.raises(BundleError, match=f"`{PRO}`: is missing"):
        Bundle.open(tmp_path)


def test_a_directory_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    """What has no manifest is not opened."""
    for place in [tmp_path, tmp_path / "nowhere"]:
        with pytest.raises(BundleError, match=f"`{MANIFEST}`: is missing from `{place}`"):
            Bundle.open(place)


def test_an_unlisted_file_is_found_at_once(tmp_path: Path) -> None:
    """A bundle with a file that nobody vouched for does not open."""
    write_bundle(files(), tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "extra.cedar").write_text("permit (principal, action, resource);")
    with pytest.raises(BundleError, match=r"`policies/extra.cedar`: is not listed"):
        Bundle.open(tmp_path)


def test_a_file_of_another_size_is_found_at_once(tmp_path: Path) -> None:
    """A truncated file keeps the bundle from opening."""
    write_bundle(files(), tmp_path)
    os.truncate(tmp_path / PRO, 10)
    with pytest.raises(BundleError, match=f"`{PRO}`: does not have the"):
        Bundle.open(tmp_path)


def test_a_changed_byte_is_found_at_the_first_read(tmp_path: Path) -> None:
    """A file of the right size with other content is never used."""
    write_bundle(files({"movies": "10"}), tmp_path)
    (tmp_path / PRO).write_bytes((tmp_path / PRO).read_bytes().replace(b'"10"', b'"99"'))
    bundle = Bundle.open(tmp_path)
    for _ in range(2):
        with pytest.raises(BundleError, match=f"`{PRO}`: is not the file that the manifest lists"):
            bundle.definition("plan/pro@7")


def test_a_file_that_grows_after_opening_is_found(tmp_path: Path) -> None:
    """Each read is held against the manifest, not only the opening."""
    write_bundle(files(), tmp_path)
    bundle = Bundle.open(tmp_path)
    with (tmp_path / PRO).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(BundleError, match=f"`{PRO}`: does not have the"):
        bundle.content(PRO)


def test_a_file_that_vanishes_after_opening_is_found(tmp_path: Path) -> None:
    """A file that is gone by the time it is read is named."""
    write_bundle(files(), tmp_path)
    bundle = Bundle.open(tmp_path)
    (tmp_path / PRO).unlink()
    with pytest.raises(BundleError, match=f"`{PRO}`: is missing"):
        bundle.content(PRO)


@pytest.mark.parametrize("after_opening", [False, True])
def test_a_link_is_no_file_of_a_bundle(tmp_path: Path, after_opening: bool) -> None:
    """A bundle does not reach files outside of it, not even ones of the right content."""
    write_bundle(files(), tmp_path / "bundle")
    bundle = Bundle.open(tmp_path / "bundle")
    (tmp_path / "bundle" / PRO).rename(tmp_path / "outside.json")
    (tmp_path / "bundle" / PRO).symlink_to(tmp_path / "outside.json")
    read: Callable[[], object] = (
        partial(bundle.content, PRO) if after_opening else partial(Bundle.open, tmp_path / "bundle")
    )
    with pytest.raises(BundleError, match=PRO):
        read()


def test_files_in_memory_are_held_against_their_manifest() -> None:
    """A manifest among the files is proved against them."""
    content = files({"movies": "10"})
    manifest = {MANIFEST: encode_manifest(manifest_of(content))}
    assert Bundle.from_files(content | manifest).revision == manifest_of(content).revision
    with pytest.raises(BundleError, match="is missing"):
        Bundle.from_files({path: data for path, data in content.items() if path != PRO} | manifest)
    with pytest.raises(BundleError, match="is not listed"):
        Bundle.from_files(content | manifest | {"extra": b""})
    with pytest.raises(BundleError, match="is not the file"):
        Bundle.from_files(content | manifest | {PRO: entities({"movies": "99"})}).definition("plan/pro@7")


def test_a_definition_is_kept(tmp_path: Path) -> None:
    """A definition that was read once needs no file again."""
    write_bundle(files({"movies": "10"}), tmp_path)
    bundle = Bundle.open(tmp_path)
    first = bundle.definition("plan/pro@7")
    (tmp_path / PRO).unlink()
    assert bundle.definition("plan/pro@7") is first


def versions(*sizes: int) -> dict[str, bytes]:
    """A bundle with versions 1, 2 … of `plan/pro` that give so many features."""
    texts = {"analytics": "true", "movies": "10", "storage": "2.5", "support": "email"}
    return files() | {
        f"entities/items/plan/pro@{version}.json": entities(dict(list(texts.items())[:size]), f"plan/pro@{version}")
        for version, size in enumerate(sizes, 1)
    }


def test_the_definition_read_longest_ago_is_forgotten() -> None:
    """Definitions are kept up to a bound in entitlements, the ones read last."""
    bundle = Bundle.from_files(versions(2, 2, 2), kept_entitlements=6)
    first, second = bundle.definition("plan/pro@1"), bundle.definition("plan/pro@2")
    bundle.definition("plan/pro@3")
    assert bundle.definition("plan/pro@2") is second
    assert bundle.definition("plan/pro@1") is not first


def test_a_bundle_adopts_the_definitions_that_are_the_same() -> None:
    """Of the bundle that it replaces: those with the same file. The others are read."""
    before = Bundle.from_files(versions(2, 2))
    same, other = before.definition("plan/pro@1"), before.definition("plan/pro@2")
    bundle = Bundle.from_files(versions(2, 3))
    assert bundle.adopt(before) == 1
    assert bundle.definition("plan/pro@1") is same
    assert bundle.definition("plan/pro@2").keys() - other.keys() == {"storage"}


def test_a_definition_whose_features_are_read_otherwise_is_not_adopted() -> None:
    """A text means something else under another scale; a feature of another name is read alike."""
    before = Bundle.from_files(files({"storage": "2"}))
    before.definition("plan/pro@7")
    rescaled = msgspec.structs.replace(FEATURES["storage"], scale=0)
    renamed = msgspec.structs.replace(FEATURES["storage"], name="Storage")
    for storage, value, adopted in [(rescaled, Amount(2), 0), (renamed, Amount(2000), 1)]:
        index = CatalogIndex(FEATURES | {"storage": storage}, INDEX.items)
        bundle = Bundle.from_files(files({"storage": "2"}) | {"catalog.json": canonical_json(index)})
        assert bundle.adopt(before) == adopted
        assert bundle.definition("plan/pro@7") == {"storage": value}


def test_definitions_are_read_ahead() -> None:
    """What the previous bundle had read, and what its holders get now, is read; what nobody holds is not."""
    before = Bundle.from_files(versions(1, 1))
    before.definition("plan/pro@1")
    bundle = Bundle.from_files(versions(2, 2) | {PRO: entities({"movies": "1"})})
    assert bundle.read_ahead(before) == 2
    read = bundle.definition("plan/pro@1")
    assert bundle.read_ahead(before) == 0
    assert bundle.definition("plan/pro@1") is read
    assert Bundle.from_files(versions(1)).read_ahead(Bundle.from_files(versions(1))) == 0


def test_a_damaged_definition_is_not_read_ahead() -> None:
    """The check that needs it reports it."""
    before = Bundle.from_files(versions(1))
    before.definition("plan/pro@1")
    bundle = Bundle.from_files(files() | {"entities/items/plan/pro@1.json": b"[]"})
    assert bundle.read_ahead(before) == 0
    with pytest.raises(BundleError, match="exactly once"):
        bundle.definition("plan/pro@1")


def test_definitions_are_shed_step_by_step() -> None:
    """A bundle that was replaced gives up what it caches, and could still answer."""
    bundle = Bundle.from_files(versions(2, 2, 2))
    first = bundle.definition("plan/pro@1")
    bundle.definition("plan/pro@2")
    assert bundle.shed(1)
    assert not bundle.shed(1)
    again = bundle.definition("plan/pro@1")
    assert again == first
    assert again is not first


def test_a_definition_beyond_the_bound_is_read_each_time() -> None:
    """A definition that is larger than all that may be kept is still answered, and pushes out nothing."""
    bundle = Bundle.from_files(versions(1, 4), kept_entitlements=4)
    small, large = bundle.definition("plan/pro@1"), bundle.definition("plan/pro@2")
    assert bundle.definition("plan/pro@2") == large
    assert bundle.definition("plan/pro@2") is not large
    assert bundle.definition("plan/pro@1") is small


def test_equal_values_are_one_object() -> None:
    """A thousand plans that give the same hold the value once."""
    content = files({"movies": "10"}) | {"entities/items/plan/pro@8.json": entities({"movies": "10"}, "plan/pro@8")}
    bundle = Bundle.from_files(content)
    first, second = bundle.definition("plan/pro@7"), bundle.definition("plan/pro@8")
    assert first["movies"] is second["movies"]
