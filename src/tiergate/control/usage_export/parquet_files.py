"""Rows of usage as Parquet files.

Text, 64-bit counts, Booleans, timestamps in UTC milliseconds, and decimals with 6 places, which every amount fits in.
The same rows make the same bytes with the same version of the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tiergate.admin.usage_exports import ColumnType
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.admin.usage_exports import Column, ExportedRow

MAX_ROWS: Final = 100_000
"""The most rows of one file, which are in memory while it is made."""

_COMPRESSION: Final = "zstd(3)"
_DIGITS: Final = 38
_PLACES: Final = 6


def require_library() -> None:
    """Check that the library is installed.

    Raises:
        SettingsError: it is not.
    """
    try:
        import arro3.core  # noqa: PLC0415 - an extra, loaded only where usage is exported
        import arro3.io  # noqa: F401, PLC0415
    except ImportError:
        words = "needs a library that is not installed: `pip install tiergate[usage-export]`"
        raise SettingsError("usage-export", words) from None


def write_parquet(path: Path, columns: Sequence[Column], rows: Sequence[ExportedRow]) -> None:
    """Write rows to a file, perhaps none."""
    from arro3.core import Field, RecordBatch, Schema  # noqa: PLC0415 - as above
    from arro3.io import write_parquet as write  # noqa: PLC0415

    arrays = [_array(column.type, [row.values[place] for row in rows]) for place, column in enumerate(columns)]
    fields = [Field(column.name, array.type, nullable=True) for column, array in zip(columns, arrays, strict=True)]
    batch = RecordBatch.from_arrays(arrays, schema=Schema(fields))
    with path.open("wb") as file:
        write(batch, file, compression=_COMPRESSION)


def _array(type_: ColumnType, values: list[Any]) -> Any:  # noqa: ANN401 - an array of the library, which is an extra
    from arro3.core import Array, DataType  # noqa: PLC0415

    match type_:
        case ColumnType.TEXT:
            return Array(values, type=DataType.utf8())
        case ColumnType.COUNT:
            return Array(values, type=DataType.int64())
        case ColumnType.FLAG:
            return Array(values, type=DataType.bool())
        case ColumnType.INSTANT:
            return Array(values, type=DataType.int64()).cast(DataType.timestamp("ms", tz="UTC"))
        case ColumnType.NUMBER:
            texts = [None if value is None else format(value, "f") for value in values]
            return Array(texts, type=DataType.utf8()).cast(DataType.decimal128(_DIGITS, _PLACES))
