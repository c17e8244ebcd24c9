"""How commands print decisions, explanations, differences and errors."""
