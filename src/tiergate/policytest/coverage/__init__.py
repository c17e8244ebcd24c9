"""Coverage: what the cases of a run would notice, of all that catalogs, rules and tables of roles say.

    recorder = Recorder(loaded.environments.values())     # all environments, before the run
    runner.run(loaded, selection, [recorder])
    coverage = recorder.coverage()
    coverage.reaches(100)                           # --fail-under 100
    coverage_text(coverage), coverage_json(coverage), coverage_html(coverage)

`units` says what there is to cover, `grounds` finds it, `recorder` tries it, `measure` sums it up, `reports` and `html`
tell it.
"""

from tiergate.policytest.coverage.coverage_result import Coverage, Mark, MeasuredTarget
from tiergate.policytest.coverage.html import coverage_html
from tiergate.policytest.coverage.recorder import Recorder
from tiergate.policytest.coverage.reports import coverage_json, coverage_text
from tiergate.policytest.coverage.targets import Aspect, Target, TargetKind

__all__ = [
    "Aspect",
    "Coverage",
    "Mark",
    "MeasuredTarget",
    "Recorder",
    "Target",
    "TargetKind",
    "coverage_html",
    "coverage_json",
    "coverage_text",
]
