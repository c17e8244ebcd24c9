"""Outcomes that services report: counted by minute on local disk, and delivered to a control plane."""
