"""The control plane: the administration API, publishing and sync, as one starlette application on the store."""
