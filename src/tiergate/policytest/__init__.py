"""Entitlement tests: `*_test.yaml` files, decided by the real engine, reported, and measured for what they cover.

`reader` reads files into `suites`, `runner` decides their cases, `results` says what came of it. Reporters, coverage
and the pytest plugin only look at results. Leaves to the command line: arguments, streams and exit codes.
"""
