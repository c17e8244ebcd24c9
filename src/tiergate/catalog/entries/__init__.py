"""Reads one entry of a file: a feature, an item with its entitlements, a customer, a subscription."""
