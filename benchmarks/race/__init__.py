"""The race: Tiergate and other systems answer the same questions from the same facts, one after the other."""
