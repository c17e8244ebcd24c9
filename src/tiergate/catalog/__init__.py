"""Catalog and subjects files, and the users' own rules: from files to the model, with every problem's position.

`load_catalog` and `dump_catalog`, `load_subjects` and `dump_subjects` are inverse to each other. `read_subjects`
streams files of any size. `ordered` puts a catalog that was made otherwise into the order that the loader makes.
"""

from tiergate.catalog.bounds import Bounds
from tiergate.catalog.export import dump_catalog, dump_subject_lines, dump_subjects
from tiergate.catalog.lint import lint
from tiergate.catalog.loader import LoadedCatalog, load_catalog
from tiergate.catalog.order import ordered
from tiergate.catalog.positions import Positions
from tiergate.catalog.rules import read_rules
from tiergate.catalog.schemas import catalog_schema, subjects_line_schema, subjects_schema
from tiergate.catalog.subject_files import load_subjects, read_subjects

__all__ = [
    "Bounds",
    "LoadedCatalog",
    "Positions",
    "catalog_schema",
    "dump_catalog",
    "dump_subject_lines",
    "dump_subjects",
    "lint",
    "load_catalog",
    "load_subjects",
    "ordered",
    "read_rules",
    "read_subjects",
    "subjects_line_schema",
    "subjects_schema",
]
