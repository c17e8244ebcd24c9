"""AuthZEN, the Authorization API 1.0: a translation of checks and decisions (ADR 65)."""
