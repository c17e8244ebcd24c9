"""What goes over the wire between services, sidecars and the control plane; each struct generates its JSON Schema."""
