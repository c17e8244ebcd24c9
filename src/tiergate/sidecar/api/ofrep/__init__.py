"""OFREP, the OpenFeature Remote Evaluation Protocol: a translation of checks and decisions (ADR 65)."""
