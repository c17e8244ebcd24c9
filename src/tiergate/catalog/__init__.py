"""Catalog and subjects files, and the users' own rules: from files to the model, with every problem's position."""

from tiergate.catalog.loader import LoadedCatalog, load_catalog
from tiergate.catalog.positions import Positions
from tiergate.catalog.rules import read_rules

__all__ = ["LoadedCatalog", "Positions", "load_catalog", "read_rules"]
