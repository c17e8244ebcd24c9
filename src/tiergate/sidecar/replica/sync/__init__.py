"""Sync: the sidecar's side of the change feed, from a control plane or an object store to a replica on disk."""
