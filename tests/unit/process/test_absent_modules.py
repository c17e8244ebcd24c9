"""Modules that are not installed are looked for once."""

from __future__ import annotations

import importlib
import sys

import pytest

from tiergate.process.absent_modules import remember_absence


def test_an_absent_module_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it fails as before, and no finder is asked."""
    name = "tiergate_absent_module"
    monkeypatch.delitem(sys.modules, name, raising=False)
    remember_absence(name)
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)


def test_a_module_that_is_installed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was imported before or not."""
    monkeypatch.delitem(sys.modules, "this", raising=False)
    remember_absence("json")
    remember_absence("this")
    assert sys.modules["json"] is importlib.import_module("json")
    assert "this" not in sys.modules
