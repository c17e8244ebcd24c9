"""The injector as a process: admission reviews over real HTTPS, certificates renewed, an end in order."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import signal
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from tests.admissions import PUBLIC_KEY, inject, injection, patched, read_review
from tests.api_server import ApiServer
from tests.certificates import certify
from tests.system.processes import PATIENCE, Process
from tiergate import __version__
from tiergate.cluster.kubernetes_api import secret_path, webhook_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WEBHOOK = webhook_path("injector")
SIDECAR = "{image: 'tiergate-sidecar:1.2.3', controlPlane: 'https://tiergate.tiergate.svc:8440'}"


@pytest.fixture
def words(tmp_path: Path) -> list[str | Path]:
    """The arguments that say what sidecars are."""
    (tmp_path / "sidecar.yaml").write_text(SIDECAR)
    (tmp_path / "public-key.pem").write_text(PUBLIC_KEY)
    local: list[str | Path] = ["--host", "127.0.0.1"]
    return [*local, "--sidecar-file", tmp_path / "sidecar.yaml", "--public-key", tmp_path / "public-key.pem"]


@contextlib.contextmanager
def running(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run an injector that is ready."""
    with Process(*arguments, environ=environ, command="injector") as process:
        process.event("ready")
        yield process


def url(process: Process) -> str:
    """Where the webhook is, by the name that its certificates are for."""
    return f"https://localhost:{urlsplit(process.event('ready')['webhook']).port}/inject"


def ask(process: Process, review: object, trusted: str, **headers: str) -> httpx.Response:
    """Send a review as an API server does, which trusts these authorities alone."""
    context = ssl.create_default_context(cadata=trusted)
    with httpx.Client(verify=context, trust_env=False, timeout=PATIENCE) as client:
        content = review if isinstance(review, bytes) else json.dumps(review).encode()
        return client.post(url(process), content=content, headers={"content-type": "application/json"} | headers)


@pytest.fixture
def given(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that somebody else made."""
    return certify(tmp_path)


def test_a_pod_is_injected_over_https(words: list[str | Path], given: tuple[Path, Path]) -> None:
    """The answer is what the pure function says, and the probes and metrics say so too."""
    certificate, key = given
    document = read_review("shop")
    with running(*words, "--tls-cert", certificate, "--tls-key", key) as process:
        answer = ask(process, document, certificate.read_text())
        assert answer.status_code == 200
        given_version = dataclasses.replace(injection(), version=__version__)
        assert answer.json() == json.loads(inject(document, given_version).body)
        assert process.probe("/readyz")[0] == 200
        assert process.probe("/livez")[0] == 200
        assert 'tiergate_injector_reviews_total{result="injected"} 1.0' in process.probe("/metrics")[1]
        assert process.event("sidecar injected")["namespace"] == "default"
        assert process.end() == 0


def test_a_refusal_is_an_answer_and_a_mistake_is_none(words: list[str | Path], given: tuple[Path, Path]) -> None:
    """A pod that says something wrong is denied; what is no review has the failure policy decide."""
    certificate, key = given
    document = read_review("least")
    document["request"]["object"]["metadata"]["annotations"] = {"tiergate.dev/image": "mine"}
    with running(*words, "--tls-cert", certificate, "--tls-key", key) as process:
        trusted = certificate.read_text()
        refused = ask(process, document, trusted)
        assert refused.status_code == 200
        assert refused.json()["response"]["allowed"] is False
        for content, headers in (
            (b"{}", {}),
            (b"", {}),
            (b" " * 9_000_000, {}),
            (json.dumps(document).encode(), {"content-type": "text/plain"}),
        ):
            wrong = ask(process, content, trusted, **headers)
            assert wrong.status_code == 400
            assert wrong.json()["type"] == "urn:tiergate:problem:malformed-review"
        assert 'tiergate_injector_reviews_total{result="malformed"} 4.0' in process.probe("/metrics")[1]


def test_a_certificate_that_somebody_renewed_is_served(
    words: list[str | Path], given: tuple[Path, Path], tmp_path: Path
) -> None:
    """Without a restart or a signal; one that cannot be used changes nothing."""
    certificate, key = given
    (tmp_path / "new").mkdir()
    new, new_key = certify(tmp_path / "new")
    with running(*words, "--tls-cert", certificate, "--tls-key", key) as process:
        old = certificate.read_text()
        certificate.write_bytes(new.read_bytes())
        process.process.send_signal(signal.SIGHUP)
        process.event("cannot update the certificate; keeping the previous one, if any")
        assert ask(process, read_review("least"), old).status_code == 200
        key.write_bytes(new_key.read_bytes())
        process.process.send_signal(signal.SIGHUP)
        process.event("certificate loaded", 2)
        assert ask(process, read_review("least"), new.read_text()).status_code == 200
        with pytest.raises(httpx.ConnectError):
            ask(process, read_review("least"), old)


def test_what_the_operator_changes_holds_for_the_next_pods(
    words: list[str | Path], given: tuple[Path, Path], tmp_path: Path
) -> None:
    """Without a restart; a file that is broken changes nothing."""
    certificate, key = given
    with running(*words, "--tls-cert", certificate, "--tls-key", key) as process:
        (tmp_path / "sidecar.yaml").write_text("{image: x, imge: y}")
        process.process.send_signal(signal.SIGHUP)
        process.event("cannot read the sidecar template; keeping the previous one")
        assert "sidecar_file_failing 1.0" in process.probe("/metrics")[1]
        assert image_of(ask(process, read_review("least"), certificate.read_text())) == "tiergate-sidecar:1.2.3"
        (tmp_path / "sidecar.yaml").write_text(SIDECAR.replace("1.2.3", "1.2.4"))
        process.process.send_signal(signal.SIGHUP)
        process.event("sidecar template changed")
        assert image_of(ask(process, read_review("least"), certificate.read_text())) == "tiergate-sidecar:1.2.4"


def image_of(answer: httpx.Response) -> str:
    """Which image a pod gets."""
    pod = patched(read_review("least"), answer.content)
    return str(pod["spec"]["initContainers"][0]["image"])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server with the webhook's configuration."""
    (tmp_path / "account").mkdir()
    with ApiServer(tmp_path / "account") as started:
        hook = {"name": "inject.tiergate.dev", "clientConfig": {"url": "https://x"}}
        started.put(WEBHOOK, {"metadata": {"name": "injector"}, "webhooks": [hook]})
        yield started


def own(cluster: ApiServer) -> list[str | Path]:
    """The arguments with which an injector makes its certificate itself."""
    named: list[str | Path] = ["--service", "injector", "--webhook", "injector", "--certificate-secret", "injector-tls"]
    return [*named, "--certificate-name", "localhost", "--service-account", cluster.folder]


def told(cluster: ApiServer) -> str:
    """Whom the API server trusts."""
    (hook,) = cluster.objects[WEBHOOK]["webhooks"]
    return base64.b64decode(hook["clientConfig"]["caBundle"]).decode()


def test_replicas_make_their_certificate_themselves(words: list[str | Path], cluster: ApiServer) -> None:
    """The API server is told of it, and gets through to each of them."""
    with (
        running(*words, *own(cluster), environ=cluster.environ) as one,
        running(*words, *own(cluster), environ=cluster.environ) as other,
    ):
        for process in (one, other):
            answer = ask(process, read_review("least"), told(cluster))
            assert image_of(answer) == "tiergate-sidecar:1.2.3"
            assert "certificate_failing 0.0" in process.probe("/metrics")[1]
        cluster.objects.pop(secret_path("tiergate", "injector-tls"))
        for process in (one, other):
            process.process.send_signal(signal.SIGHUP)
            process.event("certificate loaded", 2)
        for process in (one, other):
            assert ask(process, read_review("least"), told(cluster)).status_code == 200


def test_without_a_certificate_it_is_not_ready(words: list[str | Path], cluster: ApiServer) -> None:
    """It waits for its rights and its webhook, and says what is missing."""
    cluster.refused["GET", WEBHOOK] = 403
    with Process(*words, *own(cluster), environ=cluster.environ, command="injector") as process:
        said = process.event("cannot update the certificate; keeping the previous one, if any")
        assert "403" in said["error"]
        assert process.probe("/readyz")[0] == 503
        assert "certificate_failing 1.0" in process.probe("/metrics")[1]
        cluster.refused.clear()
        process.event("ready")
        assert process.probe("/readyz")[0] == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"--sidecar-file": "/nowhere.yaml"}, "setting `sidecar-file`: `/nowhere.yaml` cannot be read"),
        pytest.param(
            {"--public-key": "/nowhere.pem"},
            "setting `public-key`: `/nowhere.pem` cannot be read",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"--allow-annotation": "image"}, "setting `allow-annotation`: must be one of", marks=pytest.mark.slow
        ),
        ({"--webhook": ""}, "setting `webhook`: is required"),
        pytest.param({"--tls-cert": "cert.pem"}, "`tls-cert` and `tls-key` belong together", marks=pytest.mark.slow),
        pytest.param(
            {"--service-account": "/nowhere"},
            "setting `service-account`: `/nowhere/namespace` cannot be read",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_used_ends_the_start(
    words: list[str | Path], cluster: ApiServer, change: dict[str, str], expected: str
) -> None:
    """With the setting's name, and exit code 2."""
    arguments = [*words, *own(cluster)]
    for flag, value in change.items():
        place = arguments.index(flag) if flag in arguments else len(arguments)
        arguments[place : place + 2] = [flag, value] if value else []
    with Process(*arguments, environ=cluster.environ, command="injector") as process:
        assert process.wait() == 2
        assert expected in process.log()
