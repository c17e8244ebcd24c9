"""Clients that public generators make of the OpenAPI document compile, and walk through the life of what is sold.

The generators are those of tests/clients; `.ci/clients` installs them and prints the folder for the path.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.clients.programs import run
from tests.control_planes import control_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
TOOLS: Final = ("openapi-python-client", "openapi-typescript", "openapi-ts", "tsc", "node")
MISSING: Final = [tool for tool in TOOLS if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(f'`{it}`' for it in MISSING)} on the path")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A live control plane, as programs find it; the folder has its document."""
    folder = tmp_path / "plane"
    folder.mkdir()
    with control_plane(folder) as plane:
        document = httpx.get(f"{plane.url}/openapi.json", timeout=30, trust_env=False).json()
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        yield {"TIERGATE_URL": plane.url, "TIERGATE_KEY": plane.credentials.keys["admin"]}


def test_a_generated_python_client_lives_a_life(tmp_path: Path, environment: dict[str, str]) -> None:
    """openapi-python-client leaves nothing out, its client passes mypy, and does everything."""
    generator = shutil.which("openapi-python-client")
    assert generator is not None
    said = run(
        *(generator, "generate", "--path", tmp_path / "openapi.json", "--output-path", tmp_path / "client"),
        *("--config", HERE / "python.yaml", "--fail-on-warning"),
        folder=tmp_path,
    )
    assert "WARNING" not in said
    python = Path(generator).resolve().parent / "python"
    shutil.copy(HERE / "life.py", tmp_path / "client")
    run(
        *(sys.executable, "-m", "mypy", "--python-executable", python, "--config-file", os.devnull, "--cache-dir"),
        *(os.devnull, "life.py"),
        folder=tmp_path / "client",
    )
    run(python, "life.py", folder=tmp_path / "client", environment=environment)


def test_generated_typescript_clients_live_a_life(tmp_path: Path, environment: dict[str, str]) -> None:
    """openapi-typescript and @hey-api/openapi-ts make types and functions that compile in strict mode, and do it."""
    compiler = shutil.which("tsc")
    assert compiler is not None
    modules = next(parent for parent in Path(compiler).resolve().parents if parent.name == "node_modules")
    (tmp_path / "node_modules").symlink_to(modules)
    for name in ("life.ts", "tsconfig.json", "package.json", "openapi-ts.config.mjs"):
        shutil.copy(HERE / name, tmp_path)
    run("openapi-typescript", "openapi.json", "--output", "api.d.ts", folder=tmp_path)
    run("openapi-ts", "--file", "openapi-ts.config.mjs", folder=tmp_path)
    run("tsc", "--project", "tsconfig.json", folder=tmp_path)
    run("node", "out/life.js", folder=tmp_path, environment=environment)
