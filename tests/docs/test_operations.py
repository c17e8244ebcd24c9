"""The pages on operations: what they tell to type exists, and what they name is there."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Final

import jsonschema
import pytest
import yaml

from tests.docs.cli_page import commands
from tests.docs.pages import ROOT, examples, name, spans
from tiergate.control.settings import SETTINGS as CONTROL_SETTINGS
from tiergate.errors import SettingsError
from tiergate.sidecar.settings import SETTINGS as SIDECAR_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGES: Final = sorted((ROOT / "docs" / "operations").glob("*.md"))
CHART: Final = ROOT / "helm" / "tiergate"
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

_PROGRAM: Final = ("tiergate", "/opt/tiergate/bin/tiergate")
_BEFORE: Final = {"&&", "||", "|", ";", "--", "exec"}
_SETTING: Final = re.compile(r"[a-z]+(?:-[a-z]+)+")
_NO_SETTINGS: Final = {
    "istio-proxy",
    "linkerd-proxy",
    "not-ready",
    "too-many-connections",
    "label-value",
    "pre-install",
    "pre-upgrade",
    "old-epoch",
    "usage-leases",
}
"""Words with a hyphen that stand for something else."""


def typed(page: Path) -> Iterator[list[str]]:
    """Every call of the command line that a page shows, as the words after `tiergate`."""
    shown = [example.text for example in examples(page) if example.language == "sh"]
    shown += [span for span in spans(page) if span.startswith("tiergate ")]
    for text in shown:
        for line in re.sub(r"\\\n", " ", text).splitlines():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # a quote that ends on another line: not of this program
                continue
            for place, word in enumerate(words):
                called = place == 0 or words[place - 1] in _BEFORE or word.startswith("/")
                if word in _PROGRAM and called:
                    rest = words[place + 1 :]
                    ends = [rest.index(mark) for mark in ("|", "&&", ";", "&") if mark in rest]
                    yield rest[: min(ends, default=len(rest))]


KNOWN: Final = {
    tuple(it.name.split()[1:]): {
        option for parameter in it.parameters for option in re.findall(r"(?<!\w)--?[a-z][a-z-]*", parameter.usage)
    }
    for it in commands()
}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    """With its options."""
    for words in typed(page):
        command = next((words[:length] for length in (3, 2, 1) if tuple(words[:length]) in KNOWN), None)
        assert command is not None, words
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= KNOWN[tuple(command)], words


def test_pages_show_commands() -> None:
    """The test above has something to look at."""
    assert sum(len(list(typed(page))) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_setting_of_a_page_exists(page: Path) -> None:
    """A word in backticks that could be one is a setting of the sidecar or the control plane."""
    settings = {setting.name for setting in (*SIDECAR_SETTINGS, *CONTROL_SETTINGS)}
    named = {span for span in spans(page) if not span.startswith("tiergate-")}
    assert {word for word in named if _SETTING.fullmatch(word)} - settings - _NO_SETTINGS == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_metric_of_a_page_exists(page: Path) -> None:
    """It stands in the reference."""
    places = ("reference/metrics.md", "how-to/run-the-control-plane.md", "reference/injector.md")
    pages = [ROOT / "docs" / place for place in places]
    known = {found for one in pages for found in re.findall(r"`(tiergate_\w+)", one.read_text(encoding="utf-8"))}
    assert {match[0] for span in spans(page) if (match := re.match(r"tiergate_\w+", span))} - known == set()


def values_shown(page: Path) -> Iterator[dict[str, Any]]:
    """Every block of values for the chart that a page shows."""
    for example in examples(page):
        if example.language == "yaml":
            block = yaml.safe_load(example.text)
            if set(block) <= set(VALUES):
                yield block


def merged(values: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values over others, as Helm does it."""
    both = dict(values)
    for key, value in over.items():
        known = both.get(key)
        both[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_values_for_the_chart_in_a_page_are_taken(page: Path) -> None:
    """The chart's own schema takes each block, over the defaults."""
    for block in values_shown(page):
        jsonschema.validate(merged(VALUES, block), SCHEMA)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_value_that_a_page_names_exists(page: Path) -> None:
    """A path in backticks that begins with a part of the chart leads somewhere."""
    for span in spans(page):
        path = span.partition(":")[0]
        if re.fullmatch(r"[a-z][A-Za-z]*(\.[A-Za-z]+)+", path) and path.split(".")[0] in VALUES:
            found: Any = VALUES
            for part in path.split("."):
                assert isinstance(found, dict), span
                assert part in found, span
                found = found[part]


def test_some_values_are_shown() -> None:
    """The tests above have something to look at."""
    assert sum(len(list(values_shown(page))) for page in PAGES) >= 3


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_of_the_repository_that_a_page_types_exists(page: Path) -> None:
    """Folders of this repository in commands."""
    for example in examples(page):
        for path in re.findall(r"(?<![\w/.])((?:packaging|requirements|helm)/[\w./*-]*\w)", example.text):
            assert list(ROOT.glob(path)), path


@pytest.mark.parametrize("file", sorted((ROOT / "packaging" / "systemd").glob("*.toml")), ids=name)
def test_the_settings_files_are_settings_files(file: Path, tmp_path: Path) -> None:
    """Also with what stands in comments taken in."""
    from tiergate.control.settings import resolve as resolve_control  # noqa: PLC0415 - two of one name
    from tiergate.sidecar.setting_sources import resolve as resolve_sidecar  # noqa: PLC0415

    resolve: Callable[[dict[str, object], dict[str, str]], object]
    resolve = resolve_sidecar if file.stem == "sidecar" else resolve_control
    resolve({"settings": str(file)}, {})
    text = re.sub(r"^# ([a-z-]+ = )", r"\1", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    whole = tmp_path / "whole.toml"
    whole.write_text(text, encoding="utf-8")
    resolve({"settings": str(whole)}, {})
    whole.write_text(text + '\nmispelt = "x"\n', encoding="utf-8")
    with pytest.raises(SettingsError):
        resolve({"settings": str(whole)}, {})
