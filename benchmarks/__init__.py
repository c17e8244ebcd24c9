"""Benchmarks: how fast and how small Tiergate is, as ratios against baselines of the same run.

`make bench` prints the table; `benchmarks/README.md` says what each row measures and how to read it.
"""
