"""What operators are told: alive, ready or why not, and the metrics."""

from __future__ import annotations

import pytest
from pcm_place import calling, refusal, served

from realtime.engine.api import STALLED, Loading
from realtime.engine.fake import FAKE_MODEL
from realtime.gateway.routes.health import loading
from realtime.gateway.settings import AdmissionConfig
from realtime.log import stderr


async def test_a_server_with_a_model_is_alive_and_ready():
    async with served() as place:
        assert (await place.get("/healthz")).json() == {"status": "alive"}
        ready = await place.get("/readyz")
        assert ready.status_code == 200
        assert ready.json() == {"status": "ready", "model": "fake", "sessions": 0, "limit": 200}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (FAKE_MODEL, {}),
        (Loading("weights", 0.5), {"stage": "weights", "fraction": 0.5, "status": "loading"}),
        (
            Loading(STALLED, 1.0, "no sign"),
            {"stage": STALLED, "fraction": 1.0, "status": "stalled", "reason": "no sign"},
        ),
    ],
)
def test_how_far_loading_has_come_is_told_if_there_is_any(status, told):
    assert loading(status) == told


async def test_the_metrics():
    async with served() as place, calling(place) as caller:
        await caller.ask()
        await caller.say({"type": "dance"})
        await caller.until("error")
        text = (await place.get("/metrics")).text
        for line in (
            "realtime_sessions 1.0",
            "realtime_utterances_total 1.0",
            'realtime_responses_total{finish="stop"} 1.0',
            'realtime_errors_total{code="bad_message"} 1.0',
            "realtime_first_token_seconds_count 1.0",
            "realtime_engine_ready 1.0",
        ):
            assert line in text.splitlines()


async def test_while_the_model_loads_nobody_comes_in_and_everybody_can_see_why():
    async with served() as place:
        place.engine.state = Loading("reading weights", 0.25)
        assert "reading weights, 25%" in (await refusal(place))["message"]
        ready = await place.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["stage"] == "reading weights"
        assert ready.json()["fraction"] == 0.25
        assert (await place.get("/healthz")).status_code == 200
        assert "realtime_engine_ready 0.0" in (await place.get("/metrics")).text


async def test_why_nobody_can_come_in_is_told():
    async with served(admission=AdmissionConfig(sessions=1)) as place:
        place.engine.state = Loading("starting", 0.0, "the worker ended: killed by signal 9")
        told = (await place.get("/readyz")).json()
        assert (told["status"], told["reason"]) == ("loading", place.engine.state.reason)
        place.engine.state = Loading(STALLED, 1.0, "the worker gives no sign of life")
        ready = await place.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "stalled")
        assert ready.json()["reason"] == "the worker gives no sign of life"
        assert "no sign of life" in (await refusal(place))["message"]
        place.engine.state = FAKE_MODEL
        async with calling(place) as caller:
            await caller.until("ready")
            told = (await place.get("/readyz")).json()
            assert (told["status"], told["reason"]) == ("busy", "All 1 sessions are taken.")


async def test_lines_that_the_log_lost_are_in_the_metrics(monkeypatch):
    monkeypatch.setattr(stderr, "lost", 7)
    async with served() as place:
        assert "realtime_log_lines_lost 7.0" in (await place.get("/metrics")).text
