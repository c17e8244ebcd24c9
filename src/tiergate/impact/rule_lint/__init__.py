"""Warnings about valid rules that their authors probably did not intend: proved over all checks, not guessed.

    findings = lint_rules(bundle, names, now)

`feature_rules` reads the policies of a feature as formulas, `analysis` proves findings about each rule, `plan_analysis`
about what plans give, `near_misses` compares names with those that subjects have, `suspicious_text` looks at letters.
"""
