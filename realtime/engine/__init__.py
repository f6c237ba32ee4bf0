"""The engine: its interface (`api`), a scripted fake, and the worker process with the model."""
