"""Checks between entries, and between an entry and its change: references, compatibility, totals, edits."""
