"""The effect of a change to one customer or subscription."""
