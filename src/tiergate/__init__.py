"""Tiergate: product entitlements, decided by Cedar, answered on localhost."""

__version__ = "0.1.0"
