from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from tests.unit.cli.conftest import SAMPLE
from tiergate.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli


class Undated(yaml.SafeLoader):
    """Reads dates as the text that JSON has for them."""


Undated.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.mark.parametrize("file", ["catalog", "subjects"])
def test_the_sample_is_what_the_schema_describes(cli: Cli, file: str) -> None:
    """An editor that checks the sample against the printed schema has nothing to say."""
    schema = json.loads(cli("schema", file).out)
    document = yaml.load((SAMPLE / f"{file}.yaml").read_text(encoding="utf-8"), Loader=Undated)
    jsonschema.validate(document, schema)


def test_a_line_of_subjects_has_a_schema_too(cli: Cli) -> None:
    """NDJSON is described line by line."""
    jsonschema.validate({"type": "customer", "id": "acme"}, json.loads(cli("schema", "subjects-line").out))


def test_tests_have_a_schema_too(cli: Cli) -> None:
    """The sample's own test file is what it describes."""
    document = yaml.load((SAMPLE / "catalog_test.yaml").read_text(encoding="utf-8"), Loader=Undated)
    jsonschema.validate(document, json.loads(cli("schema", "test").out))


def test_another_word_is_a_wrong_call(cli: Cli) -> None:
    """A schema of nothing is a mistake in the call."""
    assert cli("schema", "plans").code == ExitCode.USAGE
