"""Benchmarks: the speed and memory of Tiergate, as ratios to baselines of the same run.

`make bench` prints the table. `benchmarks/README.md` explains each row.
"""
