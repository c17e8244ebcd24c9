from __future__ import annotations

from pathlib import Path

import pytest

from tiergate.errors import SettingsError
from tiergate.http.loopback import is_loopback
from tiergate.model import Reason
from tiergate.sidecar.setting_sources import resolve, unknown_variables
from tiergate.sidecar.settings import REASONS, SETTINGS, TABLE, Settings

SOURCES = {"catalog": ["c.yaml"], "subjects": ["s.yaml"]}


def test_the_reasons_of_the_table_are_those_of_the_model() -> None:
    """They are written out, so that the command line need not load the model."""
    assert tuple(Reason) == REASONS


def test_every_field_of_the_settings_is_in_the_table() -> None:
    """The table and the typed settings say the same names and defaults."""
    assert {setting.field: setting.default for setting in SETTINGS} == {
        setting.field: getattr(Settings(), setting.field) for setting in SETTINGS
    }


def test_the_names_of_one_setting_follow_from_its_field() -> None:
    """Flag, variable and key are one name, written three ways."""
    port = next(setting for setting in SETTINGS if setting.field == "probe_port")
    assert (port.name, port.flag, port.variable) == ("probe-port", "--probe-port", "TIERGATE_PROBE_PORT")


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(tmp_path: Path) -> None:
    """The nearest word counts."""
    file = tmp_path / "settings.toml"
    file.write_text('port = 1\nprobe-port = 2\nkeep-alive = 3.5\nlog-level = "debug"\n')
    environ = {"TIERGATE_PORT": "10", "TIERGATE_PROBE_PORT": "20", "TIERGATE_SETTINGS": str(file)}
    settings = resolve({**SOURCES, "port": "100"}, environ)
    assert (settings.port, settings.probe_port, settings.keep_alive) == (100, 20, 3.5)
    assert settings.host == "127.0.0.1"


def test_a_flag_names_the_settings_file(tmp_path: Path) -> None:
    """`--settings` wins over TIERGATE_SETTINGS."""
    file = tmp_path / "settings.toml"
    file.write_text("port = 7\n")
    assert resolve({**SOURCES, "settings": str(file)}, {"TIERGATE_SETTINGS": "missing"}).port == 7


def test_paths_in_a_settings_file_start_at_its_folder(tmp_path: Path) -> None:
    """A settings file can be moved together with what it names."""
    file = tmp_path / "settings.toml"
    file.write_text('catalog = ["a.yaml", "/b.yaml"]\nsubjects = "s.ndjson"\n')
    settings = resolve({"settings": str(file)}, {})
    assert settings.catalog == (tmp_path / "a.yaml", Path("/b.yaml"))
    assert settings.subjects == (tmp_path / "s.ndjson",)


def test_lists_are_repeated_flags_and_comma_separated_variables() -> None:
    """Both ways of saying several."""
    settings = resolve({**SOURCES, "allowed-host": ["a", "b"]}, {"TIERGATE_ALLOWED_ORIGIN": "https://x,https://y"})
    assert settings.allowed_host == ("a", "b")
    assert settings.allowed_origin == ("https://x", "https://y")


def test_an_empty_variable_counts_as_not_set() -> None:
    """Templates of deployments leave variables empty."""
    assert resolve(SOURCES, {"TIERGATE_UDS": ""}).uds is None


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("max-body", "65536", "max_body", 65536),
        ("max-body", "512KiB", "max_body", 512 * 1024),
        ("data-limit", "2Gi", "data_limit", 2 * 1024**3),
        ("data-limit", "1.5M", "data_limit", 1_500_000),
        ("max-body", "2 mib", "max_body", 2 * 1024**2),
        ("uds-mode", "660", "uds_mode", 0o660),
        ("uds-mode", "0660", "uds_mode", 0o660),
        ("insecure", "true", "insecure", True),
        ("insecure", "0", "insecure", False),
        ("keep-alive", "2.5", "keep_alive", 2.5),
        ("decision-log-sample", "0.25", "decision_log_sample", 0.25),
        ("startup-deadline", "30", "startup_deadline", 30.0),
    ],
)
def test_texts_are_read_by_kind(name: str, text: str, field: str, value: object) -> None:
    """Each kind of value has its notation."""
    assert getattr(resolve({**SOURCES, name: text}, {}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("port", "٣"),
        ("max-body", "0"),
        ("max-body", "1XB"),
        ("max-connections", "0"),
        ("uds-mode", "999"),
        ("insecure", "maybe"),
        ("keep-alive", "0"),
        ("keep-alive", "inf"),
        ("keep-alive", "nan"),
        ("decision-log-sample", "1.5"),
        ("log-format", "xml"),
        ("log-level", "INFO"),
        ("host", "a\nb"),
        ("uds", ""),
        ("public-key-pem", "MCowBQYDK2VwAyEA"),
        ("public-key-pem", "-----BEGIN PRIVATE KEY-----\nMCow\n-----END PRIVATE KEY-----"),
        ("startup-deadline", "0"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name: str, text: str) -> None:
    """Nothing is silently defaulted: the error names the setting and where it was said."""
    with pytest.raises(SettingsError, match=f"setting `{name}`: must be .*`--{name}`"):
        resolve({**SOURCES, name: text}, {})


@pytest.mark.parametrize(
    "line", ['port = "8437"', "port = true", "port = 1.5", "insecure = 1", "catalog = [1]", "uds-mode = 0o660"]
)
def test_a_value_of_the_wrong_type_in_the_file_is_refused(tmp_path: Path, line: str) -> None:
    """TOML has types, and they count."""
    file = tmp_path / "settings.toml"
    file.write_text(line)
    with pytest.raises(SettingsError, match="must be"):
        resolve({**SOURCES, "settings": str(file)}, {})


@pytest.mark.parametrize("line", ["probe-prot = 1", "[api]\nport = 1", "port ="])
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, line: str) -> None:
    """Unknown keys and broken TOML are errors."""
    file = tmp_path / "settings.toml"
    file.write_text(line)
    with pytest.raises(SettingsError):
        resolve({**SOURCES, "settings": str(file)}, {})


def test_an_unknown_key_of_the_file_gets_a_suggestion(tmp_path: Path) -> None:
    """A slip is easily mended."""
    file = tmp_path / "settings.toml"
    file.write_text("prot = 1")
    with pytest.raises(SettingsError, match="did you mean `port`"):
        resolve({**SOURCES, "settings": str(file)}, {})


def test_a_missing_settings_file_is_an_error() -> None:
    """A file that was named must be there."""
    with pytest.raises(SettingsError, match="cannot be read"):
        resolve({**SOURCES, "settings": "/no/such/file"}, {})


def test_a_nearly_right_variable_is_refused_with_a_suggestion() -> None:
    """A misspelt variable would otherwise be without effect, unnoticed."""
    with pytest.raises(SettingsError, match="did you mean `TIERGATE_PROBE_PORT`"):
        resolve(SOURCES, {"TIERGATE_PROBE_PROT": "1"})


def test_other_unknown_variables_are_named() -> None:
    """They can be logged; variables of other programs are none of ours."""
    environ = {"TIERGATE_SOMETHING": "1", "PATH": "/bin", "TIERGATE_URL": "x", "TIERGATE_PORT": "1"}
    assert unknown_variables(environ, others=["TIERGATE_URL"]) == ("TIERGATE_SOMETHING",)


def test_what_kubernetes_says_of_a_service_is_no_setting() -> None:
    """A Service called `tiergate` makes Kubernetes set TIERGATE_PORT and more of its kind."""
    links = {
        "TIERGATE_PORT": "tcp://10.0.0.1:8437",
        "TIERGATE_PORT_8437_TCP_ADDR": "10.0.0.1",
        "TIERGATE_SERVICE_HOST": "10.0.0.1",
        "TIERGATE_SERVICE_PORT": "8437",
        "TIERGATE_CONTROL_PLANE_SERVICE_HOST": "10.0.0.2",
    }
    assert resolve(SOURCES, links).port == 8437
    assert unknown_variables(links) == ()


@pytest.mark.parametrize("missing", ["catalog", "subjects"])
def test_catalog_and_subjects_are_required(missing: str) -> None:
    """Without them there is nothing to decide on."""
    with pytest.raises(SettingsError, match="is required"):
        resolve({key: value for key, value in SOURCES.items() if key != missing}, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "sidecar.example"])
def test_listening_beyond_loopback_needs_a_token_or_a_word(host: str) -> None:
    """Nobody opens the API to a network by accident."""
    with pytest.raises(SettingsError, match="beyond loopback"):
        resolve({**SOURCES, "host": host}, {})
    assert resolve({**SOURCES, "host": host, "insecure": "true"}, {}).host == host
    assert resolve({**SOURCES, "host": host, "token-file": "/t"}, {}).host == host


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a", False)],
)
def test_loopback_is_known(host: str, *, expected: bool) -> None:
    """Addresses of this machine alone."""
    assert is_loopback(host) is expected


def test_one_port_cannot_serve_both() -> None:
    """The API and the probes each have a port."""
    with pytest.raises(SettingsError, match="port of the API"):
        resolve({**SOURCES, "probe-port": "8437"}, {})


def test_a_group_needs_a_socket() -> None:
    """A setting that would do nothing is refused."""
    with pytest.raises(SettingsError, match="needs `uds`"):
        resolve({**SOURCES, "uds-group": "staff"}, {})


FOLLOWED = {"control-plane": "https://plane.example", "key-file": "/key"}
PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA+/==\n-----END PUBLIC KEY-----\n"


def test_a_control_plane_stands_in_place_of_files() -> None:
    """With the key to ask it; a key file may name it too."""
    assert resolve(FOLLOWED, {}).control_plane == "https://plane.example"
    assert resolve({"key-file": "/key"}, {}).catalog == ()


@pytest.mark.parametrize("file", ["catalog", "subjects", "rules"])
def test_what_is_decided_on_comes_from_one_place(file: str) -> None:
    """A control plane or files, not both."""
    with pytest.raises(SettingsError, match=f"`{file}`: a control plane is followed"):
        resolve({**FOLLOWED, file: "/x"}, {})


def test_a_control_plane_needs_a_key() -> None:
    """It says how to make one."""
    with pytest.raises(SettingsError, match=r"`key-file`: is required.*tiergate keys create"):
        resolve({"control-plane": "https://plane.example"}, {})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("public-key", "/x"),
        ("public-key-pem", PEM),
        ("store-id", "shop"),
        ("object-store", "s3://x"),
        ("on-demand", "true"),
    ],
)
def test_what_only_sync_can_use_is_refused_with_files(setting: str, value: str) -> None:
    """Rather than passed over."""
    with pytest.raises(SettingsError, match=f"`{setting}`: needs `control-plane`"):
        resolve({**SOURCES, setting: value}, {})


@pytest.mark.parametrize("mask", ["hash", "drop"])
def test_records_are_not_logged_where_subjects_are_masked(mask: str) -> None:
    """A record says who it is of; users are in none."""
    with pytest.raises(SettingsError, match=r"`decision-log-record`: .*`decision-log-subject`"):
        resolve({**SOURCES, "decision-log-record": True, "decision-log-subject": mask}, {})
    assert resolve({**SOURCES, "decision-log-record": True, "decision-log-user": mask}, {}).decision_log_record


@pytest.mark.parametrize(
    "text", [PEM, PEM.strip(), PEM.replace("\n", "\r\n"), PEM.replace("\n", " "), PEM.replace("\n", "\\n")]
)
def test_a_key_survives_what_tools_make_of_its_lines(text: str) -> None:
    """Variables, templates and shells keep them, join them, or write them out."""
    assert resolve({**FOLLOWED, "public-key-pem": [text]}, {}).public_key_pem == (PEM,)


def test_several_keys_stand_in_one_variable() -> None:
    """With commas between them, which no key has."""
    other = PEM.replace("MCow", "MCox")
    settings = resolve(FOLLOWED, {"TIERGATE_PUBLIC_KEY_PEM": f"{PEM},{other}"})
    assert settings.public_key_pem == (PEM, other)


def test_what_is_allowed_without_data_needs_a_deadline() -> None:
    """A setting that would do nothing is refused."""
    with pytest.raises(SettingsError, match="needs `startup-deadline`"):
        resolve({**SOURCES, "startup-allow": "movies"}, {})


@pytest.mark.parametrize("word", ["tag:reports", "no id", "*x"])
def test_what_is_allowed_without_data_is_named_by_id(word: str) -> None:
    """Tags mean nothing before there is a catalog; to allow nothing in silence would be no service."""
    with pytest.raises(SettingsError, match=r"`startup-allow`: `.*` must be `\*` or a feature's id"):
        resolve({**SOURCES, "startup-deadline": "30", "startup-allow": ["movies", word]}, {})
    allowed = resolve({**SOURCES, "startup-deadline": "30", "startup-allow": ["movies", "*"]}, {})
    assert allowed.startup_allow == ("movies", "*")


@pytest.mark.parametrize(
    ("more", "words"),
    [({"workers": "257"}, "at most 256"), ({"workers": "2", "on-demand": True, "key-file": "k"}, "`on-demand`")],
)
def test_workers_that_cannot_be_are_refused(more: dict[str, object], words: str) -> None:
    """Subjects on demand belong to one process."""
    sources = {} if "key-file" in more else SOURCES
    with pytest.raises(SettingsError, match=words) as refused:
        resolve({**sources, **more}, {})
    assert refused.value.setting == "workers"


def test_settings_are_written_for_another_process() -> None:
    """As flags, from which it reads the same."""
    flags = {**SOURCES, "port": "0", "uds": "/s", "uds-mode": "660", "max-body": "77", "keep-alive": "3.25"}
    settings = resolve({**flags, "strict-subjects": True, "stale-deny": ["a", "tag:b"], "cache-size": "5MiB"}, {})
    written = TABLE.write(settings)
    assert written["uds-mode"] == ["660"]
    assert "host" not in written
    assert Settings(**TABLE.read(written, {})) == settings
    assert TABLE.read(TABLE.write(Settings()), {}) == {}
