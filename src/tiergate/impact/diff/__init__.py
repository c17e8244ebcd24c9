"""Semantic differences between two bundles, with evidence that can be replayed."""
