"""The effect of a publication on real customers, computed before it is published."""
