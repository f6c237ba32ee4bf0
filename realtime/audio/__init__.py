"""Audio in one format: mono int16 at 16 kHz, time counted in samples."""
