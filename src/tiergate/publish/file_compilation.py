"""Publishing from files: a catalog and the users' rules are loaded, compiled and validated into a bundle's files.

The one place where `catalog` and `compiler` meet; it does no more than put them in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.catalog import load_catalog, read_rules
from tiergate.compiler import compile_catalog
from tiergate.errors import CatalogError, RulesError
from tiergate.model import Catalog, Problem, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tiergate.catalog import LoadedCatalog


class BundleFiles(NamedTuple):
    """All files of a bundle but its manifest, path → content, and the catalog that they were made from."""

    files: dict[str, bytes]
    catalog: Catalog


def compile_bundle(catalog: Sequence[Path], rules: Path | None = None) -> dict[str, bytes]:
    """Make the files of a bundle; see `compile_files`."""
    return compile_files(catalog, rules).files


def compile_files(
    catalog: Sequence[Path], rules: Path | None = None, *, previous: Mapping[str, str] | None = None
) -> BundleFiles:
    """Make a bundle from catalog files or folders and a folder of rules.

    `previous`: the hashes, by path, of the files of a bundle that this version of Tiergate validated; what comes out
    the same is not validated again.

    Raises:
        CatalogError: the catalog's files have problems; those of the rules' files are named with them.
        RulesError: the rules have problems.
        CompileError: what loads cannot be compiled.
    """
    loaded, problems = _load(catalog)
    found = Rules()
    if rules is not None:
        try:
            found = read_rules(rules)
        except RulesError as error:
            if loaded is not None:
                raise
            problems = sorted([*problems, *error.problems])
    if loaded is None:
        raise CatalogError(problems)
    folder = "" if rules is None else str(rules)
    return compile_loaded(loaded, found, folder, previous=previous)


def compile_loaded(
    loaded: LoadedCatalog, rules: Rules, rules_folder: str = "", *, previous: Mapping[str, str] | None = None
) -> BundleFiles:
    """Make a bundle from a catalog and rules that are loaded; `rules_folder` is where these stand, for problems.

    Raises:
        RulesError, CompileError: as `compile_files`.
    """
    catalog, positions = loaded.catalog, loaded.positions
    files = compile_catalog(catalog, rules, positions=positions, rules_folder=rules_folder, previous=previous)
    return BundleFiles(files, catalog)


def _load(catalog: Sequence[Path]) -> tuple[LoadedCatalog | None, list[Problem]]:
    try:
        return load_catalog(catalog), []
    except CatalogError as error:
        return None, list(error.problems)
