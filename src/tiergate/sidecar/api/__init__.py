"""The sidecar's API: adapters that translate HTTP requests to checks and decisions to responses."""
