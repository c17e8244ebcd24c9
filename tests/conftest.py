"""What every test has: Hypothesis profiles.

`ci`, the default, takes seconds; `long` (`make properties`) looks much harder. A property that is worth more examples
than others asks for a multiple, `@settings(max_examples=5 * settings.default.max_examples)`, so that both profiles
keep their meaning.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Time says nothing about correctness on a machine that runs several tests at once.
settings.register_profile(
    "ci", max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", parent=settings.get_profile("ci"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
