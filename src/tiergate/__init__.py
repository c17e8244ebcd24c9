"""Tiergate: product entitlements, decided by Cedar, answered on localhost."""

__all__ = ["__version__"]

__version__ = "0.1.0"
