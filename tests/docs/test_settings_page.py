"""The reference of the sidecar's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT, examples
from tests.docs.settings_page import settings_page
from tiergate.sidecar.setting_sources import resolve
from tiergate.sidecar.settings import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Golden
    from tiergate.process.settings import Setting

PAGE = ROOT / "docs" / "reference" / "settings.md"


def test_the_page_is_what_the_table_says(golden: Golden) -> None:
    """Every setting stands in the reference as it is, and nothing else does."""
    golden(PAGE, settings_page())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_explained(setting: Setting) -> None:
    """No setting is without its sentence, and its default is one that could be written."""
    assert setting.help.endswith(".")
    if setting.shown_default:
        assert setting.kind.read(setting.shown_default) == setting.default


def test_the_example_is_a_settings_file(tmp_path: Path) -> None:
    """What the page shows can be used."""
    (example,) = (it for it in examples(PAGE) if it.language == "toml")
    (tmp_path / "sidecar.toml").write_text(example.text, encoding="utf-8")
    settings = resolve({"settings": str(tmp_path / "sidecar.toml")}, {})
    assert settings.catalog == (tmp_path / "catalog.yaml",)
    assert str(settings.data) == "/var/lib/tiergate"
