"""`realtime batch`: answer the conversations of a manifest, many at once, and keep what is done."""
