"""HTTP building blocks that the sidecar, the control plane and the injector share."""
