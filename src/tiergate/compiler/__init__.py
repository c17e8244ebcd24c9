"""The compiler: a catalog and the users' rules in, the files of a bundle out. Pure, and the same on every machine."""

from tiergate.compiler.catalog_checks import Positions
from tiergate.compiler.compilation import compile_catalog

__all__ = ["Positions", "compile_catalog"]
