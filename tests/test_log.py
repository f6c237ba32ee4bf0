"""Logging: one line per event on stderr, for people or machines, the libraries' warnings too."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import select
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog
from fakes import undisturbed_logging
from rich.console import Console
from rich.progress import Progress

from realtime import log


@pytest.fixture(autouse=True)
def restored():
    with undisturbed_logging():
        yield


def test_json_is_one_object_per_line_with_level_and_time(capsys):
    log.configure(json=True)
    structlog.get_logger().info("draining", sessions=2)
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["sessions"]) == ("draining", "info", 2)
    assert event["timestamp"].endswith("Z")


def test_exceptions_are_in_the_log_whole(capsys):
    log.configure(json=True)
    try:
        raise ValueError("the cause")
    except ValueError:
        structlog.get_logger().exception("the engine failed")
    assert "ValueError: the cause" in json.loads(capsys.readouterr().err)["exception"]


def test_people_get_a_line_to_read(capsys):
    log.configure()
    structlog.get_logger().info("draining", sessions=2)
    out, err = capsys.readouterr()
    assert "draining" in err
    assert "sessions=2" in err
    assert "\x1b" not in err, "no colours where there is no terminal"
    assert out == ""


def test_less_than_the_level_is_not_written(capsys):
    log.configure(level="warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    err = capsys.readouterr().err
    assert "quiet" not in err
    assert "loud" in err


def test_libraries_warn_through_the_same_log_and_chatter_is_dropped(capsys):
    log.configure(level="debug", json=True)
    logging.getLogger("uvicorn.error").info("GET /v1/pcm?conversation=SECRET")
    logging.getLogger("uvicorn.error").warning("something odd")
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["logger"]) == ("something odd", "uvicorn.error")


def say(*lines: str) -> None:
    for line in lines:
        structlog.get_logger().info(line)


@pytest.fixture
def lost(monkeypatch):
    """Tell how many lines were lost so far in this test."""
    monkeypatch.setattr(log.stderr, "lost", 0)
    monkeypatch.setattr(log.stderr, "patient", True)
    return lambda: log.stderr.lost


@contextlib.contextmanager
def pipe() -> Iterator[io.FileIO]:
    """Stand a pipe in for stderr; give its end for reading."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w", buffering=1)
    with os.fdopen(reading, "rb", buffering=0) as reader, contextlib.redirect_stderr(stream):
        yield reader
    with contextlib.suppress(OSError):
        stream.close()


def test_a_reader_that_is_gone_ends_nothing_and_what_it_missed_is_counted(lost):
    with pipe() as reader:
        log.configure(json=True)
        say("heard")
        assert b'"heard"' in reader.read(4096)
        reader.close()
        say("one", "two")
        logging.getLogger("uvicorn.error").warning("three")
        assert lost() == 3


def test_a_reader_that_sleeps_holds_nobody_up_and_hears_again_when_it_wakes(lost):
    with pipe() as reader:
        log.configure(json=True)
        say(*["x" * 3_000] * 100, "y" * 300_000)
        dropped = lost()
        assert 50 < dropped < 100
        while select.select([reader], [], [], 0)[0]:
            reader.read(1 << 20)
        say("awake")
        assert b'"awake"' in reader.read(1 << 20)
        assert lost() == dropped


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's")
def test_a_full_disk_ends_nothing(monkeypatch, lost):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        log.configure()
        say("one", "two", "z" * 100_000)
        assert lost() == 3
        with contextlib.suppress(OSError):
            full.close()


def test_no_stderr_at_all_ends_nothing(monkeypatch, lost):
    monkeypatch.setattr(sys, "stderr", None)
    log.configure()
    say("one")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    say("two")
    assert lost() == 2


def test_long_lines_arrive_whole_where_there_is_a_reader(lost, monkeypatch):
    with pipe() as reader:
        monkeypatch.setattr(log, "PATIENCE_MS", 60_000)  # whatever else this machine is at
        log.configure(json=True)
        got = bytearray()

        def read() -> None:
            while not got.endswith(b"\n"):
                got.extend(reader.read(1 << 16))

        reading = threading.Thread(target=read)
        reading.start()
        say("ü" * 500_000)
        reading.join()
        assert json.loads(got)["event"] == "ü" * 500_000
        assert lost() == 0


def test_a_progress_bar_and_the_banner_end_nothing_either(lost):
    with pipe() as reader:
        console = Console(file=log.terminal(), force_terminal=True)
        log.configure()
        with Progress(console=console) as progress:
            task = progress.add_task("loading", total=1.0)
            assert b"loading" in reader.read(1 << 16)
            reader.close()
            progress.update(task, completed=0.5, refresh=True)
            say("above the bar")
        console.print("the banner")
        assert lost() >= 2
