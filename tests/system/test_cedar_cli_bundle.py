"""The official Cedar command line on a bundle: plain files that it reads, validates and would format no other way.

Needs `cedar` on the path: `cargo install cedar-policy-cli --locked`. Without it, the same is shown through cedarpy in
tests/golden/test_compiled.py and tests/properties/test_compiling.py.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tiergate.bundle import write_bundle
from tiergate.publish import compile_bundle

CEDAR = shutil.which("cedar")
EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(CEDAR is None, reason="no `cedar` on the path")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample catalog with the example rules, as a directory."""
    directory = tmp_path_factory.mktemp("bundle")
    write_bundle(compile_bundle([EXAMPLES / "streaming" / "catalog.yaml"], EXAMPLES / "rules"), directory)
    return directory


def cedar(*arguments: str | Path) -> None:
    """Run the command line, which must agree."""
    run = subprocess.run([str(CEDAR), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"


def test_every_policy_file_is_valid(bundle: Path) -> None:
    """Each policy file by itself is strictly valid under the bundle's schema, without a warning."""
    for policies in (bundle / "policies").rglob("*.cedar"):
        cedar("validate", "--deny-warnings", "--schema", bundle / "schema.cedarschema", "--policies", policies)


def test_every_compiled_file_is_formatted(bundle: Path) -> None:
    """The compiler lays permits out as `cedar format` does."""
    for policies in (bundle / "policies" / "items").rglob("*.cedar"):
        cedar("format", "--check", "--policies", policies)


def test_every_entity_file_conforms(bundle: Path) -> None:
    """Each entity file by itself conforms to the bundle's schema."""
    for entities in (bundle / "entities").rglob("*.json"):
        cedar("check-parse", "--schema", bundle / "schema.cedarschema", "--entities", entities)
