"""Counts usage in a sidecar: the meter, and the journal that makes what was counted durable."""
