"""The wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_carries_the_handwritten_policies(tmp_path: Path) -> None:
    """Every `.cedar` and `.cedarschema` file of `policies/` is installed as `tiergate/policies/`."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if name.startswith("tiergate/policies/")}
    policies = {path.relative_to(ROOT).as_posix() for path in (ROOT / "policies").rglob("*.cedar*")}
    assert carried == {f"tiergate/{path}" for path in policies}
