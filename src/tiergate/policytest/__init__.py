"""Entitlement tests: `*_test.yaml` files, decided by the real engine, reported, and measured for coverage.

`suite_reader` reads files into `suites`, `runner` runs them in `environments`, `results` has the results. Reporters,
coverage and the pytest plugin only read results. Leaves to the command line: arguments, streams, exit codes.
"""
