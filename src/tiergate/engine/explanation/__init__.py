"""Explanations: why a decision is what it is, as data and as sentences."""
