"""Build the bundled demonstration model: what it knows, the voices it hears, its training."""
