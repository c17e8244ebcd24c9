from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.api_server import ApiServer
from tests.certificates import certify
from tiergate.cluster.kubernetes_api import KubernetesApi, Secret, configmap_path, secret_path
from tiergate.errors import ClusterError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = secret_path("tiergate", "keys")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server."""
    with ApiServer(tmp_path) as started:
        yield started


@pytest.fixture
def api(server: ApiServer) -> Iterator[KubernetesApi]:
    """What is tested, with the server's folder."""
    with KubernetesApi.of_this_pod(server.environ, server.folder) as made:
        yield made


def secret(**data: str) -> dict[str, Any]:
    """A Secret called `keys`; values in base64."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": data}


def test_what_is_created_can_be_read(api: KubernetesApi) -> None:
    """Its values are decoded."""
    assert api.read(PATH, Secret) is None
    assert api.create(secret_path("tiergate"), secret(a="aGVsbG8="))
    found = api.read(PATH, Secret)
    assert found is not None
    assert (found.metadata.name, found.data) == ("keys", {"a": b"hello"})
    assert found.metadata.resource_version


def test_what_is_there_is_not_created_again(api: KubernetesApi) -> None:
    """That is no error: somebody was first. What it holds stays."""
    assert api.create(secret_path("tiergate"), secret(a="aGVsbG8="))
    assert not api.create(secret_path("tiergate"), secret(a="b3RoZXI="))
    found = api.read(PATH, Secret)
    assert found is not None
    assert found.data == {"a": b"hello"}


def test_what_has_changed_is_not_replaced(api: KubernetesApi, server: ApiServer) -> None:
    """Of two who have read it, the second one hears that the first one was quicker."""
    server.put(PATH, secret(a="aGVsbG8="))
    read = api.read(PATH, Secret)
    assert read is not None
    mine = secret(a="bWluZQ==")
    mine["metadata"]["resourceVersion"] = read.metadata.resource_version
    first = api.replace(PATH, mine, Secret)
    assert first is not None
    assert first.data == {"a": b"mine"}
    mine["metadata"]["resourceVersion"] = read.metadata.resource_version
    assert api.replace(PATH, mine, Secret) is None


def test_a_patch_whose_test_fails_changes_nothing(api: KubernetesApi, server: ApiServer) -> None:
    """And says so; one whose test holds does."""
    server.put(PATH, secret(a="aGVsbG8="))
    change: dict[str, object] = {"op": "add", "path": "/data/b", "value": "bmV3"}
    assert not api.patch(PATH, [{"op": "test", "path": "/metadata/resourceVersion", "value": "0"}, change])
    assert "b" not in server.objects[PATH]["data"]
    version = server.objects[PATH]["metadata"]["resourceVersion"]
    assert api.patch(PATH, [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, change])
    assert server.objects[PATH]["data"]["b"] == "bmV3"


def test_a_patch_of_what_is_not_there_changes_nothing(api: KubernetesApi) -> None:
    """As where it has changed."""
    assert not api.patch(PATH, [])


def test_what_is_forbidden_is_told_with_the_server_s_words(api: KubernetesApi, server: ApiServer) -> None:
    """Whoever set up the rights must act."""
    server.refused["GET", PATH] = 403
    with pytest.raises(ClusterError, match="the API server returned 403: you may not do this") as refused:
        api.read(PATH, Secret)
    assert refused.value.status == 403


def test_a_token_is_read_again_at_every_request(api: KubernetesApi, server: ApiServer) -> None:
    """The kubelet replaces it."""
    good = (server.folder / "token").read_text()
    (server.folder / "token").write_text("old")
    with pytest.raises(ClusterError, match="401"):
        api.read(PATH, Secret)
    (server.folder / "token").write_text(good)
    assert api.read(PATH, Secret) is None


def test_a_server_that_another_authority_vouches_for_is_not_told_the_token(server: ApiServer, tmp_path: Path) -> None:
    """Nothing is sent to it."""
    other = tmp_path / "other"
    other.mkdir()
    certify(other)[0].rename(other / "ca.crt")
    for name in ("token", "namespace"):
        (other / name).write_text((server.folder / name).read_text())
    with (
        KubernetesApi.of_this_pod(server.environ, other) as api,
        pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        api.read(PATH, Secret)
    assert server.requests == []


def test_nobody_there_is_a_cluster_error(server: ApiServer) -> None:
    """Without a status."""
    with closing(KubernetesApi("https://127.0.0.1:9", server.folder)) as api, pytest.raises(ClusterError) as refused:
        api.read(PATH, Secret)
    assert refused.value.status is None


def test_an_answer_that_says_something_else_is_refused(api: KubernetesApi, server: ApiServer) -> None:
    """Its fields are checked."""
    server.put(PATH, {"metadata": {"name": 3}})
    with pytest.raises(ClusterError, match="unexpected response"):
        api.read(PATH, Secret)


def test_outside_of_a_cluster_it_says_so(tmp_path: Path) -> None:
    """What is missing is named."""
    with pytest.raises(SettingsError, match="KUBERNETES_SERVICE_HOST"):
        KubernetesApi.of_this_pod({}, tmp_path)


@pytest.mark.parametrize("name", ["namespace", "ca.crt"])
def test_a_folder_that_lacks_something_is_refused(server: ApiServer, name: str) -> None:
    """At the start, with the file's name."""
    (server.folder / name).unlink()
    with pytest.raises(SettingsError, match=name):
        KubernetesApi.of_this_pod(server.environ, server.folder)


def test_nothing_is_said_without_tls(server: ApiServer) -> None:
    """The token would be anybody's."""
    with pytest.raises(SettingsError, match="must be https"):
        KubernetesApi("http://127.0.0.1:1", server.folder)


def test_paths_name_what_they_should() -> None:
    """As the API has them."""
    assert secret_path("shop") == "/api/v1/namespaces/shop/secrets"
    assert configmap_path("shop", "a") == "/api/v1/namespaces/shop/configmaps/a"
