"""The lock files in `requirements/`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
CORE: list[str] = PROJECT["project"]["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def with_extras(*extras: str) -> list[str]:
    """What is declared for the package with these extras, without what one extra includes of another."""
    return CORE + [line for extra in extras for line in EXTRAS[extra] if not line.startswith("tiergate[")]


DECLARED: dict[str, list[str]] = {
    "build": GROUPS["build"],
    "core": CORE,
    "control-plane": with_extras("control-plane", "object-store"),
    "usage-export": with_extras(*EXTRAS),
    "image": GROUPS["build"] + GROUPS["image"],
    "dev": with_extras(*EXTRAS) + GROUPS["test"] + GROUPS["lint"] + GROUPS["lock"] + GROUPS["image"],
}


def locked(lock: str) -> dict[str, str]:
    """Read the versions that a lock file pins."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", DECLARED)
def test_a_lock_holds_what_the_project_declares(lock: str) -> None:
    """Every dependency declared in `pyproject.toml` is pinned, at a version that it allows; else: `make lock`."""
    pins = locked(lock)
    for requirement in map(Requirement, DECLARED[lock]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)], prereleases=True)


@pytest.mark.parametrize("lock", DECLARED)
def test_a_lock_names_hashes_and_no_registry(lock: str) -> None:
    """Every pin has hashes, and none says where it was downloaded, so that any mirror will do."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    pins = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize(
    ("smaller", "larger"), [("core", "control-plane"), ("control-plane", "usage-export"), ("usage-export", "dev")]
)
def test_development_runs_what_images_run(smaller: str, larger: str) -> None:
    """A lock pins the same versions as the locks of less than it."""
    assert locked(smaller).items() <= locked(larger).items()


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_sidecar_is_installed_without_the_extras(extra: str) -> None:
    """The lock of the package alone holds nothing that an extra names."""
    assert not {canonicalize_name(Requirement(line).name) for line in EXTRAS[extra]} & locked("core").keys()
