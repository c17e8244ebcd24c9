"""What came of a run, told: as a tree for people, as JSON for programs, as JUnit's XML for build servers.

Each takes a report and gives text or lines; nothing is written and nothing is decided here. `failures` says in all of
them alike what was expected of a case, what came of it, and why.
"""

from tiergate.policytest.reporters.failures import Line, failure_lines
from tiergate.policytest.reporters.json import json_text, report_json
from tiergate.policytest.reporters.junit import junit_of_problems, junit_xml
from tiergate.policytest.reporters.tree import summary, tree

__all__ = ["Line", "failure_lines", "json_text", "junit_of_problems", "junit_xml", "report_json", "summary", "tree"]
