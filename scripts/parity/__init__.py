"""Both sides of a comparison: this package's engine, and transformers as it is documented."""
