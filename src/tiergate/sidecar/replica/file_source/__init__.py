"""File mode: follows catalog, rules and subjects files on disk."""
