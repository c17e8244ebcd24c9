"""The condition that a column is one of many texts, with all of them in one parameter.

SQLAlchemy's `in_` makes another statement for each number of values, which takes as long as the database takes to run
it. Here the text of the statement is always the same: SQLite gets a JSON list, PostgreSQL an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec
from sqlalchemy import Boolean, ColumnElement, Text, TypeDecorator, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.visitors import InternalTraversal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import BindParameter, Dialect
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.sql.operators import OperatorType
    from sqlalchemy.types import TypeEngine


class _Texts(TypeDecorator["Sequence[str]"]):
    """A list of texts: an array on PostgreSQL, else JSON."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> object:
        texts = list(value or ())
        return texts if dialect.name == "postgresql" else msgspec.json.encode(texts).decode()


class _IsAmong(ColumnElement[bool]):
    """A column is one of the texts of a parameter."""

    inherit_cache = True
    type = Boolean()
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy declares it
        ("column", InternalTraversal.dp_clauseelement),
        ("texts", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: ColumnElement[str], texts: BindParameter[Sequence[str]]) -> None:
        self.column = column
        self.texts = texts

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002 - SQLAlchemy's
        """Return the condition itself: as `… = 1` it could not use an index."""
        return self


def is_among(column: ColumnElement[str], name: str = "ids") -> ColumnElement[bool]:
    """Return the condition that a column is one of the texts that a statement gets as its parameter `name`."""
    return _IsAmong(column, bindparam(name, type_=_Texts()))


@compiles(_IsAmong)
def _compile(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    column, texts = compiler.process(element.column, **options), compiler.process(element.texts, **options)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - no text of a caller


@compiles(_IsAmong, "postgresql")
def _compile_postgresql(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    column, texts = compiler.process(element.column, **options), compiler.process(element.texts, **options)
    return f"{column} = ANY ({texts})"
