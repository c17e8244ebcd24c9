"""The control plane's settings: which fit together. How they are read is tested with the sidecar's."""

from __future__ import annotations

import pytest

from tiergate.control.settings import PREFIX, SETTINGS, TABLE, Settings, resolve
from tiergate.errors import SettingsError
from tiergate.sidecar.setting_sources import unknown_variables

DATABASE = {"database": "sqlite:///store.sqlite"}


def test_every_field_of_the_settings_is_in_the_table() -> None:
    """The table and the typed settings say the same names and defaults."""
    assert {setting.field: setting.default for setting in SETTINGS} == {
        setting.field: getattr(Settings(), setting.field) for setting in SETTINGS
    }


def test_a_flag_wins_over_a_variable() -> None:
    """Variables have a prefix of their own."""
    environ = {"TIERGATE_CP_PORT": "1", "TIERGATE_CP_DATABASE": "sqlite:///b", "TIERGATE_PORT": "7"}
    settings = resolve({"port": "2"}, environ)
    assert (settings.port, settings.database) == (2, "sqlite:///b")


def test_variables_of_one_process_are_none_of_the_other() -> None:
    """Both can run in one environment."""
    environ = {"TIERGATE_CP_PORT": "1", "TIERGATE_PROBE_PORT": "2"}
    assert unknown_variables(environ) == ()
    assert TABLE.unknown_variables(environ) == ()
    assert TABLE.unknown_variables({PREFIX + "COLOUR": "red"}) == (PREFIX + "COLOUR",)


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        ({}, "database"),
        ({**DATABASE, "host": "192.0.2.1"}, "host"),
        ({**DATABASE, "tls-cert": "c.pem"}, "tls-key"),
        ({**DATABASE, "tls-key": "k.pem"}, "tls-cert"),
        ({**DATABASE, "feed-retention": "30", "history-retention": "7"}, "history-retention"),
        ({**DATABASE, "usage-retention": "34"}, "usage-retention"),
    ],
)
def test_settings_that_do_not_fit_are_refused(flags: dict[str, object], setting: str) -> None:
    """By the name of the one that is to be changed."""
    with pytest.raises(SettingsError) as refused:
        resolve(flags, {})
    assert refused.value.setting == setting


@pytest.mark.parametrize("more", [{"tls-cert": "c.pem", "tls-key": "k.pem"}, {"insecure": True}])
def test_beyond_loopback_it_speaks_https_or_is_told_not_to(more: dict[str, object]) -> None:
    """Where something in front does."""
    assert resolve({**DATABASE, "host": "0.0.0.0", **more}, {}).host == "0.0.0.0"
