"""The pytest plugin: files of entitlement tests collected as items, and fixtures for what they are decided with."""
