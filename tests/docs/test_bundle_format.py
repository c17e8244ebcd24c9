"""The page on the bundle format: what it lists is what a bundle holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT, examples
from tiergate.bundle import MANIFEST, decode_manifest, encode_manifest, write_bundle
from tiergate.bundle.manifest import manifest_of
from tiergate.publish import compile_bundle

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "reference" / "bundle-format.md"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The bundle of the sample catalog with the example rules."""
    return compile_bundle([ROOT / "examples" / "streaming" / "catalog.yaml"], ROOT / "examples" / "rules")


def test_the_page_lists_the_files_of_a_bundle(files: dict[str, bytes]) -> None:
    """Every file of a bundle has its line on the page, and every line its files."""
    listed = re.findall(r"^\| `(\S+)` \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    patterns = [re.compile(re.sub(r"<\w+>", r"[^/]+", re.escape(path).replace(r"\<", "<"))) for path in listed]
    paths = [MANIFEST, *files]
    assert [path for path in paths if sum(bool(it.fullmatch(path)) for it in patterns) != 1] == []
    assert [it.pattern for it in patterns if not any(it.fullmatch(path) for path in paths)] == []


def test_the_permit_on_the_page_is_the_compilers(files: dict[str, bytes]) -> None:
    """The page shows a permit as the compiler writes it."""
    [shown] = [it.text for it in examples(PAGE) if it.language == "cedar"]
    assert shown in files["policies/items/plan/gold@1.cedar"].decode()


def test_the_manifest_on_the_page_is_one() -> None:
    """The page's manifest is what an (almost) empty bundle has."""
    [shown] = [it.text for it in examples(PAGE) if it.language == "json"]
    assert shown.encode() == encode_manifest(manifest_of({"catalog.json": b"{}\n"}))


def test_the_program_on_the_page_computes_a_revision(files: dict[str, bytes], tmp_path: Path) -> None:
    """The page's few lines of Python print the revision of a real bundle."""
    revision = write_bundle(files, tmp_path / "bundle")
    [program] = [it.text for it in examples(PAGE) if it.language == "python"]
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path / "bundle", capture_output=True, check=True)
    assert run.stdout.decode().strip() == revision


def test_the_page_names_the_format_in_force() -> None:
    """The page is about the format that is written."""
    manifest = json.loads(encode_manifest(manifest_of({})))
    assert f"is format `{manifest['format']}`" in PAGE.read_text(encoding="utf-8")
    assert decode_manifest(encode_manifest(manifest_of({}))).format == manifest["format"]
