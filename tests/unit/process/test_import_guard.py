from __future__ import annotations

import importlib
import sys

import pytest

from tiergate.process.import_guard import block_imports


def test_a_package_that_is_kept_out_cannot_be_imported_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards it can, as if nothing had been."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with block_imports("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys") is sys.modules["colorsys"]


def test_what_is_loaded_already_stays() -> None:
    """Nobody loses a package that somebody else uses."""
    with block_imports("pytest"):
        assert importlib.import_module("pytest") is pytest
    assert sys.modules["pytest"] is pytest
