"""`python -m realtime` is `realtime`."""

from __future__ import annotations

from realtime.cli.main import app

app(prog_name="realtime")
