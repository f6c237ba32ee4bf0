"""Measurements of the engine and of stock transformers on the same weights."""
