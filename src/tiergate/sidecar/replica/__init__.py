"""The sidecar's local copy of bundle and subjects, and the two sources that feed it: files and sync."""
