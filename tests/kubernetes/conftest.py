"""One cluster for all tests here, and the chart installed in it as an operator would."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kubernetes.cluster import PATIENCE, Cluster, tool
from tests.kubernetes.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART = Path(__file__).parents[2] / "helm" / "tiergate"


class Helm:
    """The real command line, as the operator of a cluster uses it."""

    def __init__(self, program: str, cluster: Cluster, folder: Path) -> None:
        self._program = program
        own = {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environ = {**os.environ, **own, "KUBECONFIG": str(cluster.kubeconfig)}

    def __call__(self, *arguments: str | Path) -> str:
        """Run it to its end; return what it said."""
        done = subprocess.run(
            [self._program, *map(str, arguments)],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def opened() -> Iterator[ExitStack]:
    """Give what ends everything, last things first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, opened: ExitStack) -> Cluster:
    """Give a running cluster."""
    started = Cluster.started(tmp_path_factory.mktemp("cluster"), opened)
    if started is None:
        pytest.skip("`etcd` and `kube-apiserver` are not there: .ci/kubernetes builds them")
    return started


@pytest.fixture(scope="session")
def node(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Give what runs containers."""
    made = Node(cluster, tmp_path_factory.mktemp("n"))
    made.run_jobs()
    made.run_tests()
    return made


@pytest.fixture(scope="session")
def helm(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Give the `helm` command line, told of the cluster."""
    program = tool("helm")
    if program is None:
        pytest.skip("`helm` is not there: .ci/helm builds it")
    return Helm(program, cluster, tmp_path_factory.mktemp("helm"))
