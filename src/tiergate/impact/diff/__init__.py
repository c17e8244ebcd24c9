"""Semantic diff of two bundles, with counterexamples."""
