"""Past decisions read back from decision logs."""
