"""Coverage: which changes of catalogs, rules and role tables the cases of a run would notice.

    recorder = Recorder(loaded.environments.values())     # all environments, before the run
    runner.run(loaded, selection, [recorder])
    coverage = recorder.coverage()
    coverage.reaches(100)                                 # --fail-under 100
    coverage_text(coverage), coverage_json(coverage), coverage_html(coverage)

`targets` defines what to cover, `target_sets` finds it, `recorder` tries it, `coverage_result` sums it up, `reports`
and `html` print it.
"""

from tiergate.policytest.coverage.coverage_result import Coverage, Mark, MeasuredTarget
from tiergate.policytest.coverage.html import coverage_html
from tiergate.policytest.coverage.recorder import Recorder
from tiergate.policytest.coverage.reports import coverage_json, coverage_text
from tiergate.policytest.coverage.targets import Aspect, Target, TargetKind
