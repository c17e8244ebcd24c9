"""Authentication: API keys, tokens of trusted issuers, the first admin's key."""
