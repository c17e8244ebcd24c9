"""Symbolic analysis of rule conditions: formulas, decision diagrams and a small solver."""
