"""Writes catalogs and subjects as files and as bodies of the API, in one canonical order."""
