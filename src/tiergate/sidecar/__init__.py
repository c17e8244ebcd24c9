"""The sidecar: answers checks on localhost from data that it holds itself."""
