"""Catalog and subjects files, and the users' own rules: from files to the model, with every problem's position.

`load_catalog` and `dump_catalog`, `load_subjects` and `dump_subjects` are inverse to each other. `read_subjects`
streams files of any size. `ordered` puts a catalog that was made otherwise into the order that the loader makes. One
entry of a file is also a body of the API: the `read_…_body` functions read one, the `…_data` functions write it.
"""

from tiergate.catalog.bodies import (
    ItemBody,
    patched,
    read_customer_body,
    read_entitlement_body,
    read_entitlements_body,
    read_feature_body,
    read_held_item_body,
    read_item_body,
    read_override_body,
    read_subscription_body,
    read_suspension_body,
)
from tiergate.catalog.canonical_order import ordered
from tiergate.catalog.cross_record_checks import Consistency
from tiergate.catalog.edit_rules import Use, deletion_refusals, draft_refusals, feature_refusals, status_refusals
from tiergate.catalog.export import (
    audience_data,
    customer_data,
    definition_data,
    dump_catalog,
    dump_subject_lines,
    dump_subjects,
    entitlements_data,
    feature_data,
    held_item_data,
    item_data,
    item_head_data,
    override_data,
    rollout_data,
    subscription_data,
    suspension_data,
    term_data,
    value_data,
)
from tiergate.catalog.fields import Fields
from tiergate.catalog.incompatible_changes import worsened
from tiergate.catalog.item_compatibility import PossibleHoldings
from tiergate.catalog.lint import lint
from tiergate.catalog.loader import LoadedCatalog, load_catalog, load_catalog_texts, read_catalog
from tiergate.catalog.overflow_checks import Bounds
from tiergate.catalog.pointers import escape_pointer
from tiergate.catalog.positions import Positions
from tiergate.catalog.printer import Plain, to_json_line
from tiergate.catalog.problem_report import ProblemLog, TextReport
from tiergate.catalog.quarantine import Quarantine
from tiergate.catalog.records import Record, Records
from tiergate.catalog.rule_files import read_rules
from tiergate.catalog.schemas import catalog_schema, subjects_line_schema, subjects_schema
from tiergate.catalog.subject_files import load_subjects, read_subject_records, read_subjects
from tiergate.catalog.subject_places import PlacedRecord, read_placed_records
from tiergate.catalog.subjects import MAX_QUANTITY, SubjectReader

__all__ = [
    "MAX_QUANTITY",
    "Bounds",
    "Consistency",
    "Fields",
    "ItemBody",
    "LoadedCatalog",
    "PlacedRecord",
    "Plain",
    "Positions",
    "PossibleHoldings",
    "ProblemLog",
    "Quarantine",
    "Record",
    "Records",
    "SubjectReader",
    "TextReport",
    "Use",
    "audience_data",
    "catalog_schema",
    "customer_data",
    "definition_data",
    "deletion_refusals",
    "draft_refusals",
    "dump_catalog",
    "dump_subject_lines",
    "dump_subjects",
    "entitlements_data",
    "escape_pointer",
    "feature_data",
    "feature_refusals",
    "held_item_data",
    "item_data",
    "item_head_data",
    "lint",
    "load_catalog",
    "load_catalog_texts",
    "load_subjects",
    "ordered",
    "override_data",
    "patched",
    "read_catalog",
    "read_customer_body",
    "read_entitlement_body",
    "read_entitlements_body",
    "read_feature_body",
    "read_held_item_body",
    "read_item_body",
    "read_override_body",
    "read_placed_records",
    "read_rules",
    "read_subject_records",
    "read_subjects",
    "read_subscription_body",
    "read_suspension_body",
    "rollout_data",
    "status_refusals",
    "subjects_line_schema",
    "subjects_schema",
    "subscription_data",
    "suspension_data",
    "term_data",
    "to_json_line",
    "value_data",
    "worsened",
]
