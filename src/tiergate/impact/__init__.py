"""Compare two bundles: semantic diff, effects on real customers, and replay of recorded decisions.

Leaves to others: reading files and rejecting losses (`publish`), calling a control plane (`cli`). Everything that
reads a bundle raises `BundleError` if that fails.
"""
