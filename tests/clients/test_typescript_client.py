"""The TypeScript client compiles, does what it does by itself, and answers as the conformance suite says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.clients.programs import run
from tests.conformance_cases import FILES, FOLDER
from tests.system.processes import sidecar
from tests.unit.cli.conftest import SAMPLE
from tiergate.catalog import load_catalog
from tiergate.codegen.generator import generate
from tiergate.codegen.language import Language

if TYPE_CHECKING:
    from tests.system.processes import Process

CLIENT: Final = Path(__file__).parents[2] / "clients" / "typescript"
TESTS: Final = ("conformance", "sidecar")
MISSING: Final = [tool for tool in ("tsc", "node") if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(f'`{it}`' for it in MISSING)} on the path")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with the compiled client and its tests; mistakes in features and levels do not compile."""
    compiler = shutil.which("tsc")
    assert compiler is not None
    modules = next(parent for parent in Path(compiler).resolve().parents if parent.name == "node_modules")
    folder = tmp_path / "client"
    shutil.copytree(CLIENT, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "out"))
    (folder / "node_modules").symlink_to(modules)
    catalog = load_catalog([SAMPLE / "catalog.yaml"]).catalog
    (folder / "test" / "entitlements.ts").write_text(generate(catalog, Language.TYPESCRIPT), encoding="utf-8")
    run("tsc", "--project", "test/tsconfig.json", folder=folder)
    return folder


def test_the_typescript_client_conforms(built: Path, tmp_path: Path) -> None:
    """Its own tests, and the suite against real sidecars."""
    with (
        sidecar(*FILES, "--data", tmp_path / "one") as checked,
        sidecar(*FILES, "--data", tmp_path / "two") as counting,
    ):
        environment = {
            "TIERGATE_URL": _url(checked),
            "TIERGATE_USAGE_URL": _url(counting),
            "TIERGATE_CONFORMANCE": str(FOLDER),
        }
        told = run(
            "node", "--test", *(f"out/test/{name}.test.js" for name in TESTS), folder=built, environment=environment
        )
    assert "# pass 14\n" in told
    assert "# fail 0\n" in told


def _url(process: Process) -> str:
    return str(process.event("listening")["api"])
