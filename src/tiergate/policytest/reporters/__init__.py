"""Reporters: a tree for people, JSON for programs, JUnit XML for build servers.

Each takes a report and returns text or lines. All describe failures alike, with `failures`.
"""

from tiergate.policytest.reporters.json import json_text, report_json
from tiergate.policytest.reporters.junit import junit_of_problems, junit_xml
from tiergate.policytest.reporters.tree import Line, failure_lines, summary, tree
