"""Read past decisions from decision logs, and decide them again."""
