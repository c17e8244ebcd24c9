"""Use cases of the control plane: an actor, plain values and a transaction in, values out. Knows no HTTP."""
