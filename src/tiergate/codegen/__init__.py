"""Constants and types of a catalog in the languages of services, so that a misspelt feature or level does not compile.

Pure: a catalog in, text out; the same catalog gives the same text, whatever the order of its files.
"""
