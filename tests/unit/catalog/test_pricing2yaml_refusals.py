from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.pricing2yaml_files import PLAN, add_on, feature, limit, problems
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.errors import ImportSourceError

if TYPE_CHECKING:
    from pathlib import Path

PRICING = """\
syntaxVersion: '2.1'
features:
  f: {valueType: BOOLEAN, defaultValue: false}
  t: {valueType: TEXT, defaultValue: mail}
usageLimits:
  l: {valueType: NUMERIC, defaultValue: 5, type: NON_RENEWABLE, linkedFeatures: [f]}
  b: {valueType: BOOLEAN, defaultValue: true, type: NON_RENEWABLE}
plans:
  P: {features: {f: {value: true}}, usageLimits: {l: {value: 7}}}
addOns:
  A: {availableFor: [P]}
  B: {dependsOn: [A], excludes: []}
"""
"""A good pricing, in which each test makes one mistake."""


MARK = "^"
"""Where a problem is expected, in what a test puts into the pricing."""


def marked(good: str, bad: str) -> tuple[str, tuple[int, int]]:
    """The pricing with `bad` for `good`, without the mark; and the line and column where the mark stood."""
    assert PRICING.count(good) == bad.count(MARK) == 1
    text = PRICING.replace(good, bad)
    before = text[: text.index(MARK)]
    return text.replace(MARK, ""), (before.count("\n") + 1, len(before) - before.rfind("\n"))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("linkedFeatures: [f]", "linkedFeatures: [f, ^g]"),
        ("linkedFeatures: [f]", "linkedFeatures: [^b]"),
        ("features: {f: {value: true}}", "features: {^g: {value: true}}"),
        ("features: {f: {value: true}}", "features: {^l: {value: 1}}"),
        ("usageLimits: {l: {value: 7}}", "usageLimits: {^m: {value: 7}}"),
        ("availableFor: [P]", "availableFor: [P, ^Q]"),
        ("availableFor: [P]", "availableFor: [^B]"),
        ("availableFor: [P]", "features: {^g: {value: true}}"),
        ("availableFor: [P]", "usageLimits: {^m: {value: 7}}"),
        ("availableFor: [P]", "usageLimitsExtensions: {^m: {value: 7}}"),
        ("availableFor: [P]", "usageLimitsExtensions: {^t: {value: x}}"),
        ("dependsOn: [A]", "dependsOn: [^C]"),
        ("dependsOn: [A]", "dependsOn: [^P]"),
        ("excludes: []", "excludes: [^C]"),
        ("mail}", "mail, tag: ^Help}"),
    ],
)
def test_a_reference_to_what_does_not_exist_is_refused(tmp_path: Path, good: str, bad: str) -> None:
    """Whatever names a feature, limit, plan, add-on or tag that the pricing lacks is refused at its place."""
    text, place = marked(good, bad)
    (problem,) = problems(tmp_path, text)
    assert (problem.code, (problem.line, problem.column)) == ("unknown-reference", place)
    assert problem.file == str(tmp_path / "pricing.yml")


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("BOOLEAN, defaultValue: false", "BOOLEAN, defaultValue: ^0", "unfit-value"),
        ("BOOLEAN, defaultValue: false", "BOOLEAN, defaultValue: ^null", "unfit-value"),
        ("f: {valueType: BOOLEAN, defaultValue: false", "f: ^{valueType: BOOLEAN", "missing-key"),
        ("f: {valueType: BOOLEAN,", "f: {valueType: ^Boolean,", "unknown-word"),
        ("f: {valueType: BOOLEAN,", "f: ^{", "missing-key"),
        ("defaultValue: mail", "defaultValue: ^{a: b}", "unfit-value"),
        ("defaultValue: mail", "defaultValue: ^[[a]]", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^five", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^true", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^-5", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^-.inf", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^.nan", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^010", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^1:30", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^5 GB", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^[5]", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^" + "5" * 200, "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^1e999999999999999999999", "unfit-value"),
        ("defaultValue: 5", "defaultValue: ^1e999999999", "bad-number"),
        ("defaultValue: 5", "defaultValue: ^0.1234567", "bad-number"),
        ("defaultValue: 5", "defaultValue: ^1e-999999999", "bad-number"),
        ("defaultValue: 5", "defaultValue: ^1000000000000000001", "bad-number"),
        (
            "l: {valueType: NUMERIC, defaultValue: 5, type: NON_RENEWABLE,",
            "l: ^{valueType: TEXT, defaultValue: 5,",
            "missing-key",
        ),
        ("type: NON_RENEWABLE, linked", "type: ^SOMETIMES, linked", "unknown-word"),
        ("linkedFeatures: [f]", "linkedFeatures: ^f", "wrong-type"),
        ("linkedFeatures: [f]", "linkedFeatures: [^{}]", "wrong-type"),
        ("linkedFeatures: [f]", "unit: ^[GB]", "unfit-value"),
        ("{value: true}", "{value: ^maybe}", "unfit-value"),
        ("{value: true}", "^true", "wrong-type"),
        ("{value: true}", "{^valeu: true}", "unknown-key"),
        ("{value: 7}", "{value: ^-7}", "unfit-value"),
        ("availableFor: [P]", "features: {f: ^null}", "missing-key"),
        ("availableFor: [P]", "features: {f: {value: ^null}}", "missing-key"),
        ("availableFor: [P]", "usageLimitsExtensions: {^b: {value: true}}", "unfit-extension"),
        ("availableFor: [P]", "usageLimitsExtensions: {l: {value: ^-1}}", "unfit-value"),
        ("dependsOn: [A]", "dependsOn: [^B]", "self-reference"),
        ("excludes: []", "excludes: ^[A]", "contradiction"),
        ("usageLimits: {l:", "^usageLimit: {l:", "unknown-key"),
        ("'2.1'", "^'9.9'", "unknown-syntax"),
    ],
)
def test_what_the_model_cannot_say_is_refused(tmp_path: Path, good: str, bad: str, code: str) -> None:
    """A mistake is refused at its place, and nothing is put in its stead."""
    text, place = marked(good, bad)
    (problem,) = problems(tmp_path, text)
    assert (problem.code, (problem.line, problem.column)) == (code, place)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Problems of every kind come together, in the order of the file."""
    text = PRICING.replace("valueType: TEXT", "valueType: text").replace("value: 7", "value: x").replace("[P]", "[Q]")
    assert [problem.line for problem in problems(tmp_path, text)] == [4, 9, 11]


def test_a_broken_feature_causes_one_problem(tmp_path: Path) -> None:
    """What refers to a feature that exists but cannot be read is not reported as well."""
    text = PRICING.replace("f: {valueType: BOOLEAN,", "f: {valueType: WHAT,")
    assert [problem.code for problem in problems(tmp_path, text)] == ["unknown-word"]


def test_a_broken_section_causes_one_problem(tmp_path: Path) -> None:
    """Where the features cannot be read as a whole, nobody can say which of them do not exist."""
    head, _, tail = PRICING.partition("features:\n")
    text = head + "features: many\n" + tail[tail.index("usageLimits:") :]
    assert [(problem.code, problem.line) for problem in problems(tmp_path, text)] == [("wrong-type", 2)]


def test_a_limit_given_and_extended_at_once_is_refused(tmp_path: Path) -> None:
    """An item gives one value for a feature: whether an extension of its own value is meant cannot be said."""
    text = add_on("usageLimits: {l: {value: 5}}\nusageLimitsExtensions: {l: {value: 5}}")
    (problem,) = problems(tmp_path, limit("NUMERIC", "1"), PLAN, text)
    assert (problem.code, problem.line) == ("contradiction", 10)


def test_a_number_too_large_for_the_scale_of_another_is_refused(tmp_path: Path) -> None:
    """One scale must hold all numbers of a limit; the one that does not fit is named."""
    text = "plans: {P: {usageLimits: {l: {value: 0.000001}}}}"
    (problem,) = problems(tmp_path, limit("NUMERIC", "100000000000000000"), text)
    assert (problem.code, problem.line) == ("bad-number", 3)
    assert "larger than 1000000000000" in problem.message


@pytest.mark.parametrize("key", ["''", '"a\\nb"', "x" * 201, '"bell\\a"'])
def test_a_key_that_cannot_be_a_name_is_refused(tmp_path: Path, key: str) -> None:
    """The name of a feature is the key unchanged, so the key must be one line of at most 200 characters."""
    (problem,) = problems(tmp_path, feature("BOOLEAN", "true", key), PLAN)
    assert problem.line == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "features",
        "features: {}",
        "features: null\nplans: {P: null}",
        "plans: {P: null}",
        "features: {}\nplans: [P]",
        "features: {}\nplans: {P: null}\nextra: 1",
        "features: {}\nplans: {P: null, P: null}",
        "features: {}\nplans: {P: &a {}, Q: *a}",
        "features: {}\nplans: {P: null}\n---\nfeatures: {}",
        "features: {}\nplans: {\tP: null}\n\t- x",
        "features: {}\nplans: {P: null}\ncustom: " + "[" * 100 + "]" * 100,
        "features: {}\nplans: {P: null}\nversion: 9.99",
        'features: {"\\ud800": {valueType: TEXT, defaultValue: x}}\nplans: {P: null}',
    ],
)
def test_what_is_no_pricing_is_refused(tmp_path: Path, text: str) -> None:
    """Text that is not YAML, YAML that is no pricing, and a pricing that sells nothing are problems with a place."""
    assert all(problem.line for problem in problems(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Missing files, folders and bytes that are not UTF-8 are problems of those files, all reported."""
    (tmp_path / "bytes.yml").write_bytes(b"features: {}\nplans: {\xff: null}")
    with pytest.raises(ImportSourceError) as refused:
        import_pricings([tmp_path / "absent.yml", tmp_path, tmp_path / "bytes.yml"])
    found = [(problem.file.removeprefix(str(tmp_path)), problem.line) for problem in refused.value.problems]
    assert found == [("", 0), ("/absent.yml", 0), ("/bytes.yml", 2)]
