"""Answers by shape: Cedar evaluates each combination of what its policies test once (design, section 3; ADR 58).

`condition_reader` finds what conditions test, `shape` makes a function of it, `answer_table` keeps Cedar's answers,
`shape_evaluator` decides by them, and `rechecks` asks Cedar again for a sample.
"""
