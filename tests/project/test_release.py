"""The script that publishes a release, with programs in place of the real ones that write down how they are called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from tiergate import __version__

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = ROOT / "packaging" / "release"
WORKFLOW: Final = ROOT / ".github" / "workflows" / "release.yml"
PAGE: Final = ROOT / "docs" / "how-to" / "release.md"
DIGEST: Final = "sha256:" + "a" * 64
CHART_DIGEST: Final = "sha256:" + "b" * 64

BUILDAH: Final = f"""#!/bin/sh
echo "buildah $*" >> "$CALLS"
case "$1 $2" in
  "manifest push") while [ "$1" != --digestfile ]; do shift; done; printf {DIGEST} > "$2" ;;
  "from --platform") echo "of-$3" ;;
  "mount "*) mkdir -p "$CALLS-$2/usr/share/sbom"; for name in sidecar control-plane; do
    echo "{{}}" > "$CALLS-$2/usr/share/sbom/tiergate-$name.spdx.json"; done; echo "$CALLS-$2" ;;
  "unshare "*) shift; "$@" ;;
esac
"""
HELM: Final = f"""#!/bin/sh
echo "helm $*" >> "$CALLS"
case "$1" in
  package) cp "$2/values.yaml" "$CALLS-values.yaml" ;;
  push) printf 'Pushed: %s\\nDigest: {CHART_DIGEST}\\n' "$3" ;;
esac
"""
COSIGN: Final = '#!/bin/sh\necho "cosign $*" >> "$CALLS"\n'


class Release:
    """A clone with the tag of the version, and the programs."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.programs, self.calls = folder / "clone", folder / "programs", folder / "calls"
        self.programs.mkdir()
        for name, text in (("buildah", BUILDAH), ("helm", HELM), ("cosign", COSIGN)):
            (self.programs / name).write_text(text, encoding="utf-8")
            (self.programs / name).chmod(0o755)
        self.clone.mkdir()
        for name in ("src/tiergate/__init__.py", "packaging/release", "sidecar.Dockerfile"):
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.clone / name)
        shutil.copytree(ROOT / "helm" / "tiergate", self.clone / "helm" / "tiergate")
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "all")

    def git(self, *arguments: str) -> None:
        """Run git in the clone, as somebody."""
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        subprocess.run(["git", *who, *arguments], cwd=self.clone, check=True)

    def run(self, registry: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Publish."""
        path = os.pathsep.join([os.fspath(self.programs), os.environ["PATH"]])
        return subprocess.run(
            [self.clone / "packaging" / "release", registry],
            env=os.environ | {"PATH": path, "CALLS": os.fspath(self.calls)} | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self) -> list[str]:
        """How the programs were called."""
        return self.calls.read_text(encoding="utf-8").splitlines() if self.calls.exists() else []


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """One that could be published."""
    one = Release(tmp_path)
    one.git("tag", f"v{__version__}")
    return one


def test_a_release_has_both_images_for_two_architectures_and_the_chart(release: Release) -> None:
    """Each signed by its digest, with a bill of materials for each architecture."""
    done = release.run("registry.example/team/")
    assert done.returncode == 0, done.stderr
    called = release.called()
    for name in ("tiergate-sidecar", "tiergate-control-plane"):
        image = f"registry.example/team/{name}"
        (build,) = (it for it in called if it.startswith("buildah build") and f"--manifest {image}:" in it)
        assert "--platform linux/amd64,linux/arm64" in build
        assert f"--target {name.removeprefix('tiergate-')} " in build
        assert f"VERSION={__version__}" in build
        assert f"cosign sign --yes {image}@{DIGEST}" in called
        bills = [it for it in called if it.startswith("cosign attest") and it.endswith(f"{image}@{DIGEST}")]
        assert sorted(re.findall(r"linux-\w+", " ".join(bills))) == ["linux-amd64", "linux-arm64"]
        assert all(" --type spdxjson " in it for it in bills)
        assert f"{{repository: {image}, digest: {DIGEST}}}" in done.stdout
    assert any(re.fullmatch(r"helm push \S+ oci://registry\.example/team/charts", it) for it in called)
    assert called[-1] == f"cosign sign --yes registry.example/team/charts/tiergate@{CHART_DIGEST}"


def test_the_chart_that_is_published_names_the_images_that_are(release: Release) -> None:
    """So that its defaults work; the chart of the tree names none of a registry."""
    assert release.run("registry.example/team").returncode == 0
    published = yaml.safe_load((release.calls.parent / "calls-values.yaml").read_text(encoding="utf-8"))
    kept = yaml.safe_load((ROOT / "helm" / "tiergate" / "values.yaml").read_text(encoding="utf-8"))
    assert published["image"]["repository"] == "registry.example/team/tiergate-control-plane"
    assert published["sidecar"]["image"]["repository"] == "registry.example/team/tiergate-sidecar"
    published["image"]["repository"] = kept["image"]["repository"]
    published["sidecar"]["image"]["repository"] = kept["sidecar"]["image"]["repository"]
    assert published == kept


def test_what_was_not_tagged_or_committed_is_not_published(tmp_path: Path) -> None:
    """Nothing is built."""
    one = Release(tmp_path)
    assert f"has no tag `v{__version__}`" in one.run("registry.example/team").stderr
    one.git("tag", f"v{__version__}")
    (one.clone / "sidecar.Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    assert "changes that are not committed" in one.run("registry.example/team").stderr
    assert one.called() == []


@pytest.mark.parametrize("registry", ["registry.example", "https://registry.example/team", ""])
def test_a_registry_must_be_named_with_its_path(release: Release, registry: str) -> None:
    """As images are."""
    done = release.run(registry)
    assert done.returncode == 1
    assert release.called() == []


def test_keys_of_ones_own_and_other_architectures_can_be_named(release: Release) -> None:
    """Where no identity of a workflow is there to sign with."""
    done = release.run("registry.example/team", COSIGN_ARGUMENTS="--key cosign.key", PLATFORMS="linux/arm64")
    assert done.returncode == 0, done.stderr
    signed = [it for it in release.called() if it.startswith("cosign")]
    assert len(signed) == 5
    assert all(" --key cosign.key " in it for it in signed)
    assert all("--platform linux/arm64" in it for it in release.called() if it.startswith("buildah build"))


def test_the_workflow_runs_the_script_with_no_more_rights_than_it_needs() -> None:
    """On tags alone, in the registry of whoever's repository it is."""
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` so
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read", "packages": "write", "id-token": "write"}
    assert job["env"]["REGISTRY"] == "ghcr.io/${{ github.repository }}"
    assert job["steps"][-1]["run"] == 'packaging/release "${REGISTRY,,}"'


def test_the_page_shows_how_to_verify_what_is_signed() -> None:
    """With the identity of the workflow that signs."""
    text = PAGE.read_text(encoding="utf-8")
    for command in ("cosign verify ", "cosign verify-attestation --type spdxjson", "packaging/release "):
        assert command in text
    assert ".github/workflows/release.yml@refs/tags/" in text
