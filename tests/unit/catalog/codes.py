"""The codes of problems that source code reports, read from its text."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def codes_in(file: Path) -> set[str]:
    """The code of each problem that a module reports."""
    return set(_codes(ast.parse(file.read_text(encoding="utf-8"))))


def _codes(module: ast.Module) -> Iterator[str]:
    """What stands before or after the message."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            yield from _kebab(node.value)
        if isinstance(node, ast.FunctionDef):
            for default in node.args.defaults:
                yield from _kebab(default)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and node.value.elts:
            yield from _kebab(node.value.elts[0])
        if isinstance(node, ast.Call) and len(node.args) > 2:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"add", "problem", "ItemViolation"}:
                yield from _kebab(node.args[1], but_single_words=False)
            if called == "_Unreadable":
                yield from _kebab(node.args[2])


def _kebab(node: ast.expr, *, but_single_words: bool = True) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        pattern = "[a-z0-9]+(-[a-z0-9]+)+" if but_single_words else "[a-z0-9]+(-[a-z0-9]+)*"
        if re.fullmatch(pattern, node.value):
            yield node.value
