"""Everything that Tiergate asks of Cedar; the only importer of cedarpy.

`policies` parses text and answers questions about scopes and contents, `schema` and `validation` check it,
`evaluation` links templates and evaluates sets, `builtin` reads the policies written by hand, `time_literals` the texts
of instants and durations.
"""

from tiergate.cedar.builtin import BUILTIN_POLICIES, builtin_schema, builtin_text
from tiergate.cedar.evaluation import (
    BaseEntities,
    CedarResult,
    EntitySet,
    PolicyGroup,
    TemplateLink,
    authorize,
    authorize_caller,
    authorize_entities,
    authorize_request,
    authorize_text,
    parsed_entities,
)
from tiergate.cedar.policies import (
    EntityReference,
    Policy,
    PolicySyntaxError,
    Scope,
    ScopeOp,
    Uid,
    expression_text,
    format_text,
    parse_policies,
    policy_text,
    split_policies,
    with_id,
    with_json,
)
from tiergate.cedar.time_literals import DAY_MS, parse_datetime, parse_duration
from tiergate.cedar.validation import Schema, ValidationError, validate
