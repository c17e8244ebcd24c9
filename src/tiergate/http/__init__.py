"""Parts of HTTP that the sidecar, the control plane and the injector share."""
