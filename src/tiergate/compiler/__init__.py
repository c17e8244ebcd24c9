"""Compile a catalog and the users' rules into the files of a bundle. Pure; equal output on every machine."""

from tiergate.compiler.catalog_checks import Positions
from tiergate.compiler.compilation import CATALOG_INDEX, FEATURE_ENTITIES, compile_catalog
