"""Reads text into documents with the place of every part, and typed values out of documents; collects problems."""
