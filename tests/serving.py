"""A `realtime serve` of its own for a test, with the bundled model."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def serving(
    log: Path, *options: str, scheme: str = "http"
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run `realtime serve`; give its process and its host and port."""
    command = [sys.executable, "-m", "realtime", "serve", "--port", "0", *options]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    try:
        while not (found := re.search(r"127\.0\.0\.1:(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        while not is_ready(f"{scheme}://{found[0]}/readyz"):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield process, found[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    """Ask whether the model is loaded; a certificate made for the test is taken as it is."""
    try:
        with urllib.request.urlopen(url, context=ssl._create_unverified_context()) as response:
            return bool(response.status == 200)
    except OSError:
        return False
