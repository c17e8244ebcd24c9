"""What a node of a cluster does, for tests: the containers of pods, run as processes of this machine.

A container's image is not there: its entry point, `tiergate`, is this environment's. Its volumes are folders, filled
from the API server as a kubelet fills them; where it names a folder that is mounted, in its arguments, its environment
or a file of its configuration, the process is told where that folder is. Names of Services are told by `names`, and
ports are free ones, for all of it is one machine.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tests.kubernetes.cluster import PATIENCE
from tests.system.processes import Process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.kubernetes.cluster import Cluster

_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_PYTHON: Final = "/opt/tiergate/bin/python"
_PORTS: Final = {
    "control-plane": ("--port", "0", "--host", "127.0.0.1"),
    "injector": ("--port", "0", "--probe-port", "0", "--host", "127.0.0.1", "--probe-host", "127.0.0.1"),
    "sidecar": ("--port", "0", "--probe-port", "0", "--probe-host", "127.0.0.1"),
}
_TAKES_ACCOUNT: Final = frozenset({"injector", "cluster"})


class Node:
    """Runs containers. `names`: what stands for which URL of the cluster's; may be added to."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.names: dict[str, str] = {"https://kubernetes.default.svc/": f"{cluster.url}/"}
        self.ran: list[tuple[str, int, str]] = []
        self._folder = folder
        self._kept: dict[str, Path] = {}  # what outlives pods
        self._count = 0
        self._lock = threading.Lock()

    def create_pod(self, namespace: str, name: str, template: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an object
        """Create the pod of a template, as the controller of a Deployment or a Job does."""
        metadata = {key: value for key, value in template["metadata"].items() if key in {"labels", "annotations"}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": template["spec"]}
        return self.cluster.post(f"/api/v1/namespaces/{namespace}/pods", body)

    def start(self, pod: Mapping[str, Any], container: str) -> Process:
        """Start a container of a pod that serves."""
        arguments, environ = self._command(pod, _container(pod, container))
        word, *rest = arguments
        return Process(*rest, *_PORTS[word], environ=environ, ports=False, command=word)

    def serve(self, namespace: str, deployment: str, container: str) -> Process:
        """Create one more pod of a Deployment, start its container, and wait until that says that it is ready."""
        found = self.cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}")
        pod = self.create_pod(namespace, f"{deployment}-{self._next()}", found["spec"]["template"])
        process = self.start(pod, container)
        try:
            process.event("ready")
        except BaseException:
            process.__exit__()
            raise
        return process

    def run(self, pod: Mapping[str, Any], container: str) -> subprocess.CompletedProcess[str]:
        """Run a container of a pod to its end."""
        found = _container(pod, container)
        arguments, environ = self._command(pod, found)
        command = found.get("command", [])
        program = [sys.executable, "-m", "tiergate"] if not command else [sys.executable, *command[1:]]
        assert not command or command[0] == _PYTHON
        return subprocess.run(
            [*program, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def run_jobs(self) -> None:
        """Run every Job that is created from now on, and say how it ended, as the Job controller does."""
        self._follow("/apis/batch/v1/jobs", self._run_job)

    def run_tests(self) -> None:
        """Run every pod that is created as a test of a release, and say how it ended, as a kubelet does.

        All its init containers are sidecars.
        """
        self._follow("/api/v1/pods", self._run_test)

    def _follow(self, path: str, work: Any) -> None:  # noqa: ANN401 - a method
        def follow() -> None:
            for event, seen in self.cluster.watch(path):
                if event == "ADDED":
                    work(seen)

        threading.Thread(target=follow, daemon=True).start()

    def _run_job(self, job: dict[str, Any]) -> None:
        if job.get("status", {}).get("completionTime"):
            return
        metadata = job["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        begun = _now()
        pod = self.create_pod(namespace, f"{name}-{self._next()}", job["spec"]["template"])
        ended = self.run(pod, pod["spec"]["containers"][0]["name"])
        self.ran.append((name, ended.returncode, ended.stdout + ended.stderr))
        self.cluster.delete(f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}")
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status"
        kinds = ("SuccessCriteriaMet", "Complete") if ended.returncode == 0 else ("FailureTarget", "Failed")
        status: dict[str, Any] = {
            "startTime": begun,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": _now(), "lastProbeTime": _now()}
                for kind in kinds
            ],
        }
        status |= {"succeeded": 1, "completionTime": _now()} if ended.returncode == 0 else {"failed": 1}
        self.cluster.put(path, {**self.cluster.get(path), "status": status})

    def _run_test(self, pod: dict[str, Any]) -> None:
        metadata = pod["metadata"]
        if metadata.get("annotations", {}).get("helm.sh/hook") != "test":
            return
        with ExitStack() as beside:
            for one in pod["spec"].get("initContainers", []):
                sidecar = beside.enter_context(self.start(pod, one["name"]))
                while sidecar.probe("/startupz")[0] != 200:  # the kubelet goes on then
                    time.sleep(0.05)
            ended = self.run(pod, pod["spec"]["containers"][0]["name"])
        self.ran.append((metadata["name"], ended.returncode, ended.stdout + ended.stderr))
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        phase = "Succeeded" if ended.returncode == 0 else "Failed"
        self.cluster.put(path, {**self.cluster.get(path), "status": {"phase": phase}})

    def _command(self, pod: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        mounts = self._mounts(pod, container)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TIERGATE_")}
        environ |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.cluster.port)}
        for one in container.get("env", []):
            environ[one["name"]] = (
                self._value(pod, one) if "valueFrom" in one else self._told(one.get("value", ""), mounts)
            )
        arguments = [self._told(one, mounts) for one in container.get("args", [])]
        if _ACCOUNT in mounts and arguments[0] in _TAKES_ACCOUNT:
            arguments += ["--service-account", str(mounts[_ACCOUNT])]
        return arguments, environ

    def _value(self, pod: Mapping[str, Any], variable: Mapping[str, Any]) -> str:
        wanted = variable["valueFrom"]["secretKeyRef"]  # nothing else is used
        secret = self.cluster.get(f"/api/v1/namespaces/{pod['metadata']['namespace']}/secrets/{wanted['name']}")
        return base64.b64decode(secret["data"][wanted["key"]]).decode()

    def _mounts(self, pod: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Path]:
        volumes = {one["name"]: one for one in pod["spec"].get("volumes", [])}
        mounted = container.get("volumeMounts", [])
        mounts = {one["mountPath"]: self._place(pod, volumes[one["name"]]) for one in mounted if one["name"] in volumes}
        for one in mounted:
            if one["name"] in volumes:
                self._fill(pod, volumes[one["name"]], mounts[one["mountPath"]], mounts)
        return mounts

    def _place(self, pod: Mapping[str, Any], volume: Mapping[str, Any]) -> Path:
        metadata = pod["metadata"]
        claim = volume.get("persistentVolumeClaim")
        known = (
            f"claim {metadata['namespace']}/{claim['claimName']}" if claim else f"{metadata['uid']} {volume['name']}"
        )
        with self._lock:
            if known not in self._kept:
                self._kept[known] = self._folder / f"v{len(self._kept)}"  # short: there are sockets in some
                self._kept[known].mkdir()
            return self._kept[known]

    def _fill(
        self, pod: Mapping[str, Any], volume: Mapping[str, Any], folder: Path, mounts: Mapping[str, Path]
    ) -> None:
        within = f"/api/v1/namespaces/{pod['metadata']['namespace']}"
        sources: Sequence[Mapping[str, Any]] = volume.get("projected", {}).get("sources", [volume])
        for source in sources:
            if "secret" in source:
                of = source["secret"]
                answer = self.cluster.api.get(f"{within}/secrets/{of.get('secretName', of.get('name'))}")
                if answer.status_code == 404 and of.get("optional"):
                    continue
                assert answer.is_success, answer.text
                values = {key: base64.b64decode(value) for key, value in answer.json()["data"].items()}
                _write(folder, values, of)
            elif "configMap" in source:
                of = source["configMap"]
                found = self.cluster.get(f"{within}/configmaps/{of['name']}")["data"]
                _write(folder, {key: self._told(text, mounts).encode() for key, text in found.items()}, of)
            elif "serviceAccountToken" in source:
                of = source["serviceAccountToken"]
                account = pod["spec"]["serviceAccountName"]
                token = self.cluster.token(pod["metadata"]["namespace"], account, of.get("audience"), pod)
                (folder / of["path"]).write_text(token)
            elif "downwardAPI" in source:
                [item] = source["downwardAPI"]["items"]
                assert item["fieldRef"]["fieldPath"] == "metadata.namespace"
                (folder / item["path"]).write_text(pod["metadata"]["namespace"])
            else:
                assert {"emptyDir", "persistentVolumeClaim"} & source.keys(), source

    def _told(self, text: str, mounts: Mapping[str, Path]) -> str:
        for name, place in self.names.items():
            text = text.replace(name, place)
        if not mounts:
            return text
        paths = "|".join(re.escape(path) for path in sorted(mounts, key=len, reverse=True))
        return re.sub(rf"(?<![\w.-])({paths})(?![\w.-])", lambda found: str(mounts[found[1]]), text)

    def _next(self) -> int:
        with self._lock:
            self._count += 1
            return self._count


def _container(pod: Mapping[str, Any], name: str) -> dict[str, Any]:
    spec = pod["spec"]
    [found] = [one for one in (*spec.get("initContainers", []), *spec["containers"]) if one["name"] == name]
    return deepcopy(found)


def _write(folder: Path, values: Mapping[str, bytes], of: Mapping[str, Any]) -> None:
    items = of.get("items") or [{"key": key, "path": key} for key in values]
    for item in items:
        (folder / item["path"]).write_bytes(values[item["key"]])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
