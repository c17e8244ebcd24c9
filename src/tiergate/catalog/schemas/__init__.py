"""JSON Schemas (draft 2020-12) of the catalog and subjects files, for editors and other tools.

They are closed: a key that the loaders do not know is refused. They accept whatever the loaders accept; what only the
loaders can see (references, levels, scales, totals, ids that stand twice) they leave to them.
"""

from tiergate.catalog.schemas.catalog import catalog_schema
from tiergate.catalog.schemas.subjects import subjects_line_schema, subjects_schema
