"""Catalog and subjects files, and the users' own rules: from files to the model, with every problem's position."""

from tiergate.catalog.bounds import Bounds
from tiergate.catalog.loader import LoadedCatalog, load_catalog
from tiergate.catalog.positions import Positions
from tiergate.catalog.rules import read_rules
from tiergate.catalog.subject_files import load_subjects, read_subjects

__all__ = ["Bounds", "LoadedCatalog", "Positions", "load_catalog", "load_subjects", "read_rules", "read_subjects"]
