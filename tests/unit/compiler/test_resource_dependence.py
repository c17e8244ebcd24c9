"""Whether role policies can tell resources of one type apart, for one caller."""

from __future__ import annotations

import pytest

from tiergate.cedar import parse_policies
from tiergate.compiler.resource_dependence import tells_resources_apart

HEAD = '@id("a") permit (principal, action, resource)'


def apart(text: str, *roles: str, attributes: tuple[str, ...] = ("kind",)) -> bool:
    """Whether one policy tells resources apart for a caller."""
    return tells_resources_apart(parse_policies(text), roles, attributes)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD};",
        '@id("a") permit (principal, action, resource is Customer);',
        f"{HEAD} when {{ resource is Customer || resource is Feature }};",
        f'{HEAD} when {{ principal.kind == "key" }};',
        f'{HEAD} when {{ principal has customers }} unless {{ resource has customer && resource.customer == "x" }};',
        f'{HEAD} when {{ principal has customers && principal.kind == "key" && resource == Store::"store" }};',
        '@id("a") permit (principal in Role::"other", action, resource == Customer::"acme");',
        '@id("a") permit (principal in Role::"other", action, resource) when { resource has customer };',
    ],
)
def test_a_policy_that_reads_no_more_than_the_type(text: str) -> None:
    """Its result is the same for all resources of a type."""
    assert not apart(text, "admin")


@pytest.mark.parametrize(
    "text",
    [
        '@id("a") permit (principal, action, resource == Customer::"acme");',
        '@id("a") permit (principal, action, resource in Customer::"acme");',
        '@id("a") permit (principal, action, resource is Customer in Store::"store");',
        f"{HEAD} when {{ resource has customer }};",
        f'{HEAD} when {{ resource == Customer::"acme" }};',
        f'{HEAD} when {{ [resource].contains(Customer::"acme") }};',
        f'{HEAD} when {{ resource is Customer in Store::"store" }};',
        f'{HEAD} when {{ principal has kind && resource == Store::"store" }};',
        f"{HEAD} when {{ resource has customer && principal has customers }};",
        f"{HEAD} unless {{ principal has customers && resource has customer }};",
        f"{HEAD} unless {{ principal has customers }} when {{ resource has customer }};",
        f"{HEAD} when {{ !(principal has customers) && resource has customer }};",
        '@id("a") permit (principal in Role::"admin", action, resource == Customer::"acme");',
        '@id("a") permit (principal == Caller::"x", action, resource == Customer::"acme");',
    ],
)
def test_a_policy_that_may_read_more(text: str) -> None:
    """Every use of the resource that is not known to read only the type counts."""
    assert apart(text, "admin")


def test_a_caller_with_the_attribute_is_told_apart() -> None:
    """The guard of scopes holds for keys that are limited to customers."""
    text = f'{HEAD} when {{ principal has customers }} unless {{ resource has customer && resource.customer == "x" }};'
    assert apart(text, attributes=("kind", "customers"))
