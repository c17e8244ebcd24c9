"""Ask a sidecar through OpenFeature: the URL and a file of questions in, a list of answers as JSON out."""

import json
import sys
from pathlib import Path

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

url, questions = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
api.set_provider(OFREPProvider(url))
client = api.get_client()
ASK = {
    "boolean": client.get_boolean_details,
    "integer": client.get_integer_details,
    "float": client.get_float_details,
    "string": client.get_string_details,
}
answers = []
for question in questions:
    context = dict(question["context"])
    about = EvaluationContext(context.pop("targetingKey", None), context)
    found = ASK[question["type"]](question["key"], question["default"], about)
    code = None if found.error_code is None else found.error_code.value
    answers.append(
        {"value": found.value, "reason": str(found.reason.value), "code": code, "metadata": dict(found.flag_metadata)}
    )
sys.stdout.write(json.dumps(answers) + "\n")
