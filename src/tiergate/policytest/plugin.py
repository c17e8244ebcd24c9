"""The pytest plugin: collects files of entitlement tests, and provides fixtures.

Every pytest run in an installation with Tiergate loads this module, so it imports nothing of Tiergate by itself: hooks
and fixtures import what they need when used. Leaves to others: the items (`pytest_collection`), the values of fixtures
(`pytest_fixtures`), comparing a decision (`assertions`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.bundle import Bundle
    from tiergate.engine import Evaluator
    from tiergate.model import Catalog
    from tiergate.policytest.pytest_collection import SuiteFile
    from tiergate.policytest.pytest_fixtures import Files, FixtureFactory, LiveSidecar

_PARTS = ("catalog", "subjects", "rules")
_LEFT_ALONE: pytest.StashKey[list[Path]] = pytest.StashKey()
_WORKBENCH: pytest.StashKey[FixtureFactory] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the keys of pytest's configuration file; paths in it are relative to that file."""
    parser.addini("tiergate_catalog", "files or folders of the catalog that Tiergate's fixtures use", "paths", [])
    parser.addini("tiergate_subjects", "files or folders of the subjects that Tiergate's fixtures use", "paths", [])
    parser.addini("tiergate_rules", "the folder of rules that Tiergate's fixtures use", "paths", [])
    patterns = ["*_test.yaml", "*_test.yml"]
    parser.addini("tiergate_test_files", "patterns of files of entitlement tests", "args", patterns)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "tiergate(catalog, subjects, rules): the files that Tiergate's fixtures use, relative to the test's file; "
        "each a path, or a list of them",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Collect a file of entitlement tests: by its name and our `apiVersion`, or if named explicitly."""
    patterns = parent.config.getini("tiergate_test_files")
    if not any(file_path.match(pattern) for pattern in patterns):
        return None
    from tiergate.policytest.pytest_collection import SuiteFile, is_ours

    if not parent.session.isinitpath(file_path) and not is_ours(file_path):
        parent.config.stash.setdefault(_LEFT_ALONE, []).append(file_path)
        return None
    file: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
    return file


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Name the files of other tools. No warning: they may be as they should, and some runs make errors of warnings."""
    return [
        f"tiergate: {path} has no `apiVersion: tiergate/v1`: it is not collected (see `tiergate_test_files`)"
        for path in config.stash.get(_LEFT_ALONE, [])
    ]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the sidecars."""
    workbench = config.stash.get(_WORKBENCH, None)
    if workbench is not None:
        workbench.close()


@pytest.fixture
def tiergate_files(request: pytest.FixtureRequest) -> Files:
    """The files that the other fixtures use.

    From an indirect parameter (a mapping of `catalog`, `subjects`, `rules`), else from the marker `tiergate`, else from
    pytest's configuration; each by itself. Override this fixture if tests write files of their own.
    """
    from tiergate.policytest.pytest_fixtures import Files

    given: dict[str, tuple[Path, ...]] = {}
    for part in _PARTS:
        given[part] = tuple(request.config.getini(f"tiergate_{part}"))
    for marker in reversed(list(request.node.iter_markers("tiergate"))):
        if marker.args:
            pytest.fail("the marker `tiergate` takes `catalog`, `subjects` and `rules` by their names", pytrace=False)
        given |= _paths(marker.kwargs, request.path.parent, "marker `tiergate`")
    if hasattr(request, "param"):
        given |= _paths(request.param, request.path.parent, "parameter of `tiergate_files`")
    if len(given["rules"]) > 1:
        pytest.fail("`rules` is one folder", pytrace=False)
    return Files(given["catalog"], given["subjects"], next(iter(given["rules"]), None))


@pytest.fixture
def tiergate_catalog(tiergate_files: Files, _tiergate_workbench: FixtureFactory) -> Catalog:
    """The catalog, compiled with the rules."""
    return _tiergate_workbench.compiled(tiergate_files).catalog


@pytest.fixture
def tiergate_bundle(tiergate_files: Files, _tiergate_workbench: FixtureFactory) -> Bundle:
    """The bundle of the catalog and the rules."""
    return _tiergate_workbench.compiled(tiergate_files).bundle


@pytest.fixture
def tiergate_engine(tiergate_files: Files, _tiergate_workbench: FixtureFactory) -> Evaluator:
    """An engine on the subjects, in this process, for any instant."""
    return _tiergate_workbench.engine(tiergate_files)


@pytest.fixture
def tiergate_sidecar(tiergate_files: Files, _tiergate_workbench: FixtureFactory) -> LiveSidecar:
    """A running sidecar, in its own process on a free port, which follows the files."""
    return _tiergate_workbench.sidecar(tiergate_files)


@pytest.fixture
def _tiergate_workbench(request: pytest.FixtureRequest) -> FixtureFactory:
    """The factory that all tests of this run share."""
    from tiergate.policytest.pytest_fixtures import FixtureFactory

    return request.config.stash.setdefault(_WORKBENCH, FixtureFactory())


def _paths(given: Mapping[str, object], folder: Path, where: str) -> dict[str, tuple[Path, ...]]:
    """Return the paths of a marker or a parameter, relative to the folder of the test."""
    result: dict[str, tuple[Path, ...]] = {}
    for part, value in given.items():
        if part not in _PARTS:
            pytest.fail(
                f"the {where} has no `{part}`: it takes {', '.join(f'`{entry}`' for entry in _PARTS)}", pytrace=False
            )
        named = value if isinstance(value, list | tuple) else [value]
        paths = [path for path in named if isinstance(path, str | Path)]
        if len(paths) < len(named):
            pytest.fail(f"`{part}` of the {where} must be a path or a list of paths, not `{value}`", pytrace=False)
        result[part] = tuple((folder / path).resolve() for path in paths)
    return result
