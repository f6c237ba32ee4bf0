"""Logging: one line per event on stderr, for people or machines, the libraries' warnings too."""

from __future__ import annotations

import json
import logging

import pytest
import structlog
from fakes import undisturbed_logging

from realtime.gateway import log


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
