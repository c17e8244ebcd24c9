"""Catalog and subjects files, and the users' own rules: from files to the model, with the position of every problem.

`load_catalog` and `dump_catalog`, `load_subjects` and `dump_subjects` are inverses. `read_subjects` streams files of
any size. `sort_catalog` puts a catalog into the loader's order. One entry of a file is also a body of the API: the
`read_…_body` functions read one, the `…_data` functions write it.
"""

from tiergate.catalog.checks.cross_record_checks import CrossRecordChecks
from tiergate.catalog.checks.edit_rules import (
    ValueUse,
    check_draft,
    check_feature_change,
    check_feature_deletion,
    features_drawing_on,
)
from tiergate.catalog.checks.incompatible_changes import new_violations
from tiergate.catalog.checks.item_combinations import ItemCompatibility
from tiergate.catalog.checks.overflow_checks import TotalBounds
from tiergate.catalog.entries.subjects import MAX_QUANTITY, SubjectReader
from tiergate.catalog.lint import lint
from tiergate.catalog.loader import LoadedCatalog, load_catalog, load_catalog_texts, read_catalog
from tiergate.catalog.positions import CatalogPositions
from tiergate.catalog.quarantine import Quarantine
from tiergate.catalog.reading.fields import Fields
from tiergate.catalog.reading.json_pointers import escape_pointer
from tiergate.catalog.reading.problem_report import ProblemLog, TextReport
from tiergate.catalog.request_bodies import (
    apply_merge_patch,
    merge_patch,
    read_entitlement_body,
    read_entitlements_body,
    read_feature_body,
    read_item_body,
    read_override_body,
    read_subject_body,
)
from tiergate.catalog.rule_files import read_rules
from tiergate.catalog.schemas import catalog_schema, subjects_line_schema, subjects_schema
from tiergate.catalog.subject_file_reader import SubjectEntry, SubjectFileReader
from tiergate.catalog.subject_files import load_subjects, read_subject_records, read_subjects
from tiergate.catalog.subject_positions import read_placed_records
from tiergate.catalog.writing.canonical_order import sort_catalog
from tiergate.catalog.writing.export import (
    customer_data,
    definition_data,
    dump_catalog,
    dump_subject_lines,
    dump_subjects,
    entitlements_data,
    feature_data,
    item_head_data,
    override_data,
    rollout_data,
    subscription_data,
    subscription_item_data,
    suspension_data,
    value_data,
)
from tiergate.catalog.writing.printer import PlainData, to_json_line
