"""A Kubernetes cluster for tests: a real API server on a real etcd, and what else of a cluster a chart needs.

There is no controller manager, no kubelet and no network of pods. `tests.kubernetes.node` runs containers as processes
of this machine; here is what stands for the rest: the objects that controllers put into every namespace, and the way
from the API server to a Service, by which it reaches webhooks: a proxy that knows which process stands for whom.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.certificates import certify, trusting
from tests.control_planes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATIENCE: Final = 60.0
ISSUER: Final = "https://kubernetes.default.svc.cluster.local"

_TOKEN: Final = "the-operators"
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiergate-ci"
_BUFFER: Final = 65_536


def tool(name: str) -> str | None:
    """Find a program: on the path, or where `.ci/kubernetes` and `.ci/helm` keep what they have built."""
    folders = [os.environ.get("PATH", ""), *(str(_CACHE / kind / "bin") for kind in ("kubernetes", "helm"))]
    return shutil.which(name, path=os.pathsep.join(folders))


class Cluster:
    """A running cluster, empty but for what the API server itself puts there."""

    def __init__(self, folder: Path, etcd: str, api_server: str, opened: ExitStack) -> None:
        """Start it in a new folder, and wait until it is ready. `opened` ends it."""
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        certificate, key = certify(folder)
        self.authority = certificate
        self._processes: list[subprocess.Popen[bytes]] = []
        self._network = opened.enter_context(_Network(folder / "network.sock"))
        self._start("etcd", opened, *_etcd(etcd, folder))
        store = (folder / "etcd.url").read_text()
        self._start("api-server", opened, *_api_server(api_server, folder, self.port, store, (certificate, key)))
        self.api = opened.enter_context(
            httpx.Client(
                base_url=self.url,
                verify=trusting(certificate),
                headers={"authorization": f"Bearer {_TOKEN}"},
                timeout=PATIENCE,
                trust_env=False,
            )
        )
        self._await_ready()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))

    @classmethod
    def started(cls, folder: Path, opened: ExitStack) -> Self | None:
        """Start one; none where its programs are not there."""
        etcd, api_server = tool("etcd"), tool("kube-apiserver")
        return None if etcd is None or api_server is None else cls(folder, etcd, api_server, opened)

    def get(self, path: str) -> Any:  # noqa: ANN401 - an object
        """Read an object, or a list of them."""
        return self._said(self.api.get(path))

    def post(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - an object
        """Create an object; return it as it was stored."""
        return self._said(self.api.post(path, json=body))

    def put(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - an object
        """Replace an object, or its status."""
        return self._said(self.api.put(path, json=body))

    def delete(self, path: str) -> None:
        """Delete an object at once."""
        self._said(self.api.request("DELETE", path, json={"gracePeriodSeconds": 0}))

    def watch(self, path: str) -> Iterator[tuple[str, Any]]:
        """What happens to a list of objects, those included that are there; ends with the cluster."""
        try:
            with self.api.stream("GET", path, params={"watch": "1"}, timeout=None) as answer:
                for line in answer.iter_lines():
                    event = json.loads(line)
                    yield event["type"], event["object"]
        except httpx.HTTPError:
            return

    def namespace(self, name: str, **labels: str) -> str:
        """Make a namespace, with what controllers put into each: an account, and the cluster's authority."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        self.post("/api/v1/namespaces", body)
        within = f"/api/v1/namespaces/{name}"
        self.service_account(name, "default")
        root = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": self.authority.read_text()}}
        self.post(f"{within}/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **root})
        return name

    def service_account(self, namespace: str, name: str) -> None:
        """Make a service account that may do nothing."""
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        self.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", body)

    def token(self, namespace: str, account: str, audience: str | None = None, pod: Any = None) -> str:  # noqa: ANN401 - an object
        """Have a token made for a service account, as a kubelet does for a pod."""
        spec: dict[str, object] = {"expirationSeconds": 3600}
        if audience is not None:
            spec["audiences"] = [audience]
        if pod is not None:
            metadata = pod["metadata"]
            spec["boundObjectRef"] = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "uid": metadata["uid"],
            }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str(self.post(path, body)["status"]["token"])

    def serve(self, namespace: str, service: str, process: tuple[str, int]) -> None:
        """Have a process stand for all ports of a Service, as the API server reaches it."""
        spec = self.get(f"/api/v1/namespaces/{namespace}/services/{service}")["spec"]
        for port in spec["ports"]:
            self._network.processes[spec["clusterIP"], port["port"]] = process

    def _start(self, name: str, opened: ExitStack, *command: str) -> None:
        log = opened.enter_context((self.folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        opened.callback(process.wait)
        opened.callback(process.send_signal, signal.SIGKILL)
        self._processes.append(process)

    def _await_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and all(one.poll() is None for one in self._processes):
            try:
                if self.api.get("/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        logs = [path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log")]
        raise AssertionError("the API server is not ready:\n" + "\n".join(logs))

    def _kubeconfig(self) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.authority)}}
            ],
            "users": [{"name": "operator", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "operator"}}],
        }

    @staticmethod
    def _said(answer: httpx.Response) -> Any:  # noqa: ANN401 - an object
        assert answer.is_success, answer.text
        return answer.json()


def _etcd(program: str, folder: Path) -> list[str]:
    own, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    (folder / "etcd.url").write_text(own)
    return [
        program,
        *("--data-dir", str(folder / "etcd")),
        *("--listen-client-urls", own, "--advertise-client-urls", own),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"),
        "--unsafe-no-fsync",
    ]


def _api_server(program: str, folder: Path, port: int, store: str, served_with: tuple[Path, Path]) -> list[str]:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.TraditionalOpenSSL  # the only one that it reads
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "tokens.pem").write_bytes(pem)
    (folder / "operators.csv").write_text(f'{_TOKEN},operator,operator,"system:masters"\n')
    egress = {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {
                "name": "cluster",
                "connection": {
                    "proxyProtocol": "HTTPConnect",
                    "transport": {"uds": {"udsName": str(folder / "network.sock")}},
                },
            }
        ],
    }
    (folder / "egress.json").write_text(json.dumps(egress))
    flags = {
        "etcd-servers": store,
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "advertise-address": "192.0.2.1",  # which nobody uses: there are no endpoints of it
        "endpoint-reconciler-type": "none",
        "tls-cert-file": served_with[0],
        "tls-private-key-file": served_with[1],
        "cert-dir": folder,
        "authorization-mode": "RBAC",
        "token-auth-file": folder / "operators.csv",
        "service-account-issuer": ISSUER,
        "service-account-signing-key-file": folder / "tokens.pem",
        "service-account-key-file": folder / "tokens.pem",
        "service-cluster-ip-range": "198.51.100.0/24",
        "egress-selector-config-file": folder / "egress.json",
    }
    return [program, *(f"--{name}={value}" for name, value in flags.items())]


class _Network(socketserver.ThreadingUnixStreamServer):
    """The way from the API server into the cluster: an HTTP proxy that knows CONNECT, and which process is where."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Connection)
        self.processes: dict[tuple[str, int], tuple[str, int]] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def server_close(self) -> None:
        self.shutdown()
        super().server_close()


class _Connection(socketserver.StreamRequestHandler):
    server: _Network

    def handle(self) -> None:
        head = self.rfile.readline().decode("ascii").split()
        while self.rfile.readline().strip():
            pass
        host, _, port = head[1].rpartition(":")
        process = self.server.processes.get((host.strip("[]"), int(port)))
        try:
            if process is None:
                raise ConnectionRefusedError
            far = socket.create_connection(process, timeout=PATIENCE)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with closing(far):
            back = threading.Thread(target=_pass_on, args=(far, self.connection), daemon=True)
            back.start()
            _pass_on(self.connection, far)
            back.join(PATIENCE)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(_BUFFER):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
