"""Compile a bundle from files: load a catalog and the users' rules, compile and validate them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.catalog import load_catalog, read_rules
from tiergate.compiler import compile_catalog
from tiergate.errors import CatalogError, RulesError
from tiergate.model import Catalog, Problem, Rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.catalog import LoadedCatalog


class BundleFiles(NamedTuple):
    """All files of a bundle but its manifest, path → content, and the catalog they were compiled from."""

    files: dict[str, bytes]
    catalog: Catalog


def compile_bundle(catalog: Sequence[Path], rules: Path | None = None) -> dict[str, bytes]:
    """Return the files of a bundle; see `compile_files`."""
    return compile_files(catalog, rules).files


def compile_files(catalog: Sequence[Path], rules: Path | None = None) -> BundleFiles:
    """Compile a bundle from catalog files or folders and a folder of rules.

    Raises:
        CatalogError: the catalog's files have problems; it also has those of the rules' files.
        RulesError: the rules have problems.
        CompileError: the catalog cannot be compiled.
    """
    loaded, problems = _load(catalog)
    rules_read = Rules()
    if rules is not None:
        try:
            rules_read = read_rules(rules)
        except RulesError as error:
            if loaded is not None:
                raise
            problems = sorted([*problems, *error.problems])
    if loaded is None:
        raise CatalogError(problems)
    folder = "" if rules is None else str(rules)
    return compile_loaded(loaded, rules_read, folder)


def compile_loaded(loaded: LoadedCatalog, rules: Rules, rules_folder: str = "") -> BundleFiles:
    """Compile a bundle from a loaded catalog and rules; `rules_folder`: where problems of rules are reported."""
    catalog, positions = loaded.catalog, loaded.positions
    files = compile_catalog(catalog, rules, positions=positions, rules_folder=rules_folder)
    return BundleFiles(files, catalog)


def _load(catalog: Sequence[Path]) -> tuple[LoadedCatalog | None, list[Problem]]:
    try:
        return load_catalog(catalog), []
    except CatalogError as error:
        return None, list(error.problems)
