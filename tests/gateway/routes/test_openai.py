"""/v1/realtime on a real socket: who comes in, how it is refused, how long it lasts."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from fakes import GUARD_S, question, undisturbed_logging
from gateway_place import Place, bearer, rest, serving, until, written
from openai.types.beta.realtime import SessionCreateResponse
from openai.types.realtime import ClientSecretCreateResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime import log
from realtime.config import Settings
from realtime.engine.api import Delta, Loading, SystemTurn
from realtime.gateway.access.settings import AuthConfig, LimitsConfig
from realtime.gateway.settings import AdmissionConfig, ConnectionConfig
from realtime.protocols.openai.messages import MAX_EVENT
from realtime.session.settings import SessionConfig

KEY = "the-only-key-of-this-server"
PAGE = "https://app.example"
KEYED = Settings(auth=AuthConfig(keys=(KEY,), origins=(PAGE,)))


def limited(**limits: int) -> Settings:
    return replace(KEYED, limits=LimitsConfig(**limits))


def error_of(body: dict) -> tuple[str, str]:
    """Give the code and the message, in the form whose message clients show."""
    assert body["error"].keys() == {"message", "type", "code", "param"}
    return body["error"]["code"], body["error"]["message"]


async def mint(place: Place, body: object = None, key: str = KEY, **headers) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}", **headers}
    return await place.ask(
        "POST", "/v1/realtime/client_secrets", headers=headers, json={} if body is None else body
    )


# ---- coming in ----------------------------------------------------------------------------------


async def test_whatever_model_is_asked_for_ours_is_reported():
    async with serving(KEYED) as place:
        path = "/v1/realtime?model=gpt-realtime-2.1&intent=conversation"
        async with place.connect(path, **bearer(KEY)) as socket:
            before = int(time.time())
            session = (await until(socket, "session.created"))["session"]
            assert session["model"] == "fake"
            assert socket.subprotocol is None
            # Made before `before` was taken, perhaps in the second before.
            assert before + 3_600 - GUARD_S <= session["expires_at"] <= before + 3_600


async def test_the_servers_instructions_are_shown_and_followed():
    settings = replace(Settings(), session=SessionConfig(instructions="Be kind."))
    async with serving(settings) as place, place.connect() as socket:
        session = (await until(socket, "session.created"))["session"]
        assert session["instructions"] == "Be kind."
        for message in written("Hello?"):
            await socket.send(message)
        await until(socket, "response.done")
        assert place.engine.requests[-1].turns[0] == SystemTurn("Be kind.")


async def test_a_question_in_writing_is_answered():
    async with serving(KEYED) as place, place.connect(**bearer(KEY)) as socket:
        for message in written("What is this?"):
            await socket.send(message)
        done = await until(socket, "response.done")
        assert done["response"]["output"][0]["content"][0]["text"] == "Hello there."


async def test_a_browser_brings_its_key_as_a_subprotocol_and_never_gets_it_back():
    offered = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-agents-sdk.0.20.0"]
    async with serving(KEYED) as place:
        async with place.connect(subprotocols=offered, origin=PAGE) as socket:
            await until(socket, "session.created")
            assert socket.subprotocol == "realtime"
            assert KEY not in str(socket.response.headers)
        async with place.connect("/v1/pcm", subprotocols=offered, origin=PAGE) as socket:
            await until(socket, "ready")
            assert socket.subprotocol == "realtime"


async def test_a_response_that_was_cut_by_a_loss_is_given_anew():
    async with serving(KEYED) as place:
        place.engine.script = lambda _: [Delta((1,), "Hello"), asyncio.Event()]
        async with place.connect(**bearer(KEY)) as socket:
            secret = (await until(socket, "session.created"))["session"]["resume"]
            item, create = map(json.loads, written("What is this?"))
            asked = {"metadata": {"topic": "this"}, "instructions": "Be brief."}
            await socket.send(json.dumps(item))
            await socket.send(json.dumps({**create, "response": asked}))
            cut = await until(socket, "response.output_text.delta")
            socket.transport.abort()
        await place.gateway.empty(GUARD_S)
        place.engine.script = "Hello there."
        async with place.connect(f"/v1/realtime?conversation={secret}", **bearer(KEY)) as socket:
            await until(socket, "session.created")
            done = (await until(socket, "response.done"))["response"]
            assert done["status"] == "completed"
            assert done["metadata"] == {"topic": "this"}
            assert done["output"][0]["content"][0]["text"] == "Hello there."
            lost = {"type": "conversation.item.retrieve", "item_id": cut["item_id"]}
            await socket.send(json.dumps(lost))
            assert (await until(socket, "error"))["error"]["param"] == "item_id"
        first, again = place.engine.requests
        assert first.turns == again.turns
        assert again.turns[0] == SystemTurn("Be brief.")


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/pcm"])
async def test_who_may_not_come_in_learns_it_before_the_upgrade(path, caplog):
    async with serving(KEYED) as place:
        status, body, headers = await place.refusal(path)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert error_of(body)[0] == "missing_api_key"
        status, body, _ = await place.refusal(path, **bearer("sk-wrong"))
        assert (status, error_of(body)[0]) == (401, "invalid_api_key")
        assert "sk-wrong" not in body["error"]["message"]
        status, body, _ = await place.refusal(path, origin="https://evil.example", **bearer(KEY))
        assert (status, error_of(body)[0]) == (403, "origin_not_allowed")
        assert place.gateway.connections == set()
        assert place.gateway.admission.taken == 0
        refused = place.gateway.metrics.registry.get_sample_value
        assert refused("realtime_refused_total", {"code": "invalid_api_key"}) == 1
    assert not caplog.records, "what peers do wrong is nothing to log"


async def test_a_full_house_and_a_model_that_loads_are_503():
    async with serving(replace(KEYED, admission=AdmissionConfig(sessions=1))) as place:
        async with place.connect(**bearer(KEY)) as socket:
            await until(socket, "session.created")
            status, body, headers = await place.refusal(**bearer(KEY))
            assert (status, headers["retry-after"]) == (503, "5")
            assert body["error"]["type"] == "server_error"
            assert error_of(body) == ("server_busy", "All 1 sessions are taken.")
        place.engine.state = Loading("weights", 0.25)
        status, body, _ = await place.refusal(**bearer(KEY))
        assert status == 503
        assert "weights, 25%" in error_of(body)[1]


async def test_addresses_that_lead_nowhere():
    async with serving(KEYED) as place:
        for path in ("/v1/nothing", "/v2/realtime"):
            status, body, _ = await place.refusal(path, **bearer(KEY))
            assert (status, error_of(body)[0]) == (404, "unknown_url")
            answer = await place.ask("POST", path)
            assert (answer.status_code, error_of(answer.json())[0]) == (404, "unknown_url")
        status, body, _ = await place.refusal("/v1/realtime?call_id=rtc_none", **bearer(KEY))
        assert (status, error_of(body)[0]) == (404, "call_not_found")
        assert body["error"]["param"] == "call_id"
        assert (await place.ask("GET", "/v1/realtime")).status_code == 426


@pytest.mark.parametrize(
    "how",
    [
        {"additional_headers": {"OpenAI-Beta": "realtime=v1"}},
        {"subprotocols": ["realtime", "openai-beta.realtime-v1"]},
    ],
)
async def test_clients_of_the_beta_get_its_names(how):
    async with serving(Settings()) as place, place.connect(**how) as socket:
        assert "input_audio_format" in (await until(socket, "session.created"))["session"]
        await socket.send(written("Hello?")[0])
        await until(socket, "conversation.item.created")


async def test_a_conversation_is_taken_up_again():
    async with serving(KEYED) as place:
        async with place.connect(**bearer(KEY)) as socket:
            secret = (await until(socket, "session.created"))["session"]["resume"]
            for message in written("What is this?"):
                await socket.send(message)
            await until(socket, "response.done")
        async with place.connect(f"/v1/realtime?conversation={secret}", **bearer(KEY)) as socket:
            assert (await until(socket, "session.created"))["session"]["resume"] == secret
            for message in written("And that?"):
                await socket.send(message)
            await until(socket, "response.done")
        assert len(place.engine.requests[1].turns) == 3


# ---- how long, and how much ---------------------------------------------------------------------


async def test_a_session_ends_after_its_time_and_says_so():
    settings = replace(KEYED, connection=ConnectionConfig(lifetime_s=0.05, idle_s=0.01))
    async with serving(settings) as place, place.connect(**bearer(KEY)) as socket:
        *_, last = await rest(socket)
        assert last["type"] == "error"
        assert last["error"]["code"] == "session_expired"
        assert (socket.close_code, socket.close_reason) == (1001, "session_expired")


async def test_a_burst_of_a_client_that_reads_its_answers_is_answered_whole():
    create = written("Hello?")[0]
    async with serving(KEYED) as place, place.connect(**bearer(KEY)) as socket:

        async def send() -> None:
            for _ in range(1_200):
                await socket.send(create)
            pongs = [await socket.ping() for _ in range(5_000)]
            await asyncio.gather(*pongs)

        sending = asyncio.create_task(send())
        for _ in range(1_200):
            await until(socket, "conversation.item.done")
        async with asyncio.timeout(GUARD_S):
            await sending
        for message in written("Still there?"):
            await socket.send(message)
        await until(socket, "response.done")


async def test_messages_may_be_longer_than_elsewhere_but_not_without_end():
    async with serving(KEYED) as place:
        async with place.connect(**bearer(KEY)) as socket:
            await socket.send(json.dumps({"type": "nonsense", "x": "x" * (19 << 20)}))
            await until(socket, "error")
            for message in written("Still there?"):
                await socket.send(message)
            await until(socket, "response.done")
            await socket.send("x" * (MAX_EVENT + 1))
            await rest(socket)
            assert socket.close_code == 1009
        async with place.connect("/v1/pcm", **bearer(KEY)) as socket:
            await socket.send("x" * ((1 << 20) + 1))
            await rest(socket)
            assert socket.close_code == 1009


async def test_sessions_per_key():
    settings = replace(limited(sessions=1), auth=AuthConfig(keys=(KEY, KEY + "-2")))
    async with serving(settings) as place, place.connect(**bearer(KEY)) as socket:
        secret = (await until(socket, "session.created"))["session"]["resume"]
        status, body, headers = await place.refusal(**bearer(KEY))
        assert (status, headers["retry-after"]) == (429, "5")
        assert error_of(body) == ("rate_limit_exceeded", "All 1 sessions of this key are open.")
        assert body["error"]["type"] == "rate_limit_error"
        async with place.connect("/v1/pcm", **bearer(KEY + "-2")) as other:
            await until(other, "ready")
        async with place.connect(f"/v1/realtime?conversation={secret}", **bearer(KEY)) as again:
            await until(again, "session.created")
            await rest(socket)
            assert socket.close_reason == "taken over"


async def test_answers_over_the_limit_fail_and_what_is_left_is_told():
    async with serving(limited(responses_per_minute=2)) as place:
        async with place.connect(**bearer(KEY)) as socket:
            for left in (1, 0):
                for message in written("What is this?"):
                    await socket.send(message)
                done = await until(socket, "response.done")
                assert done["response"]["status"] == "completed"
                told = (await until(socket, "rate_limits.updated"))["rate_limits"]
                assert [(one["name"], one["limit"]) for one in told] == [("requests", 2)]
                assert told[0]["remaining"] == left
            await socket.send(written("And now?")[1])
            failed = (await until(socket, "response.done"))["response"]
            assert failed["status"] == "failed"
            assert failed["status_details"]["error"]["code"] == "rate_limit_exceeded"
        assert len(place.engine.requests) == 2, "the engine was not asked"
        async with place.connect("/v1/pcm", **bearer(KEY)) as socket:
            await socket.send(question())
            assert (await until(socket, "error"))["code"] == "rate_limit_exceeded"
            assert (await until(socket, "final"))["finish"] == "interrupted"


async def test_audio_over_the_limit_is_not_heard_and_told_once_a_second():
    settings = limited(audio_seconds_per_minute=3)
    async with serving(settings) as place, place.connect("/v1/pcm", **bearer(KEY)) as socket:
        await socket.send(question())
        await until(socket, "final")
        for _ in range(200):
            await socket.send(bytes(32_000))  # a second each
        await socket.send('{"type": "ping"}')
        got = []
        async with asyncio.timeout(GUARD_S):
            while not got or got[-1]["type"] != "pong":
                got.append(json.loads(await socket.recv()))
        errors = [event for event in got if event["type"] == "error"]
        assert {error["code"] for error in errors} == {"rate_limit_exceeded"}
        assert 1 <= len(errors) < 100
        assert "3 s of audio per minute" in errors[0]["message"]
        heard = place.gateway.metrics.registry.get_sample_value("realtime_audio_seconds_total")
        assert heard < 10


async def test_a_speculation_that_is_wanted_counts_once():
    async with serving(limited(responses_per_minute=10)) as place:
        async with place.connect("/v1/pcm", **bearer(KEY)) as socket:
            await socket.send(question())
            await until(socket, "final")
        (allowance,) = place.gateway.authenticator.allowances.of_keys.values()
        (limit,) = allowance.limits()
        assert limit.remaining == 9


# ---- short-lived keys ---------------------------------------------------------------------------


async def test_a_short_lived_key_is_minted_with_the_session_it_is_for():
    wanted = {"type": "realtime", "instructions": "Be brief.", "max_output_tokens": 99}
    async with serving(KEYED) as place:
        answer = await mint(
            place, {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": wanted}
        )
        assert answer.status_code == 200
        issued = ClientSecretCreateResponse.model_validate(answer.json())
        assert 0 < issued.expires_at - time.time() <= 60
        assert (issued.session.model, issued.session.instructions) == ("fake", "Be brief.")
        offered = ["realtime", f"openai-insecure-api-key.{issued.value}"]
        async with place.connect(subprotocols=offered, origin=PAGE) as socket:
            session = (await until(socket, "session.created"))["session"]
            assert (session["instructions"], session["max_output_tokens"]) == ("Be brief.", 99)
            for message in written("Hello?"):
                await socket.send(message)
            await until(socket, "response.done")
        assert "Be brief." in str(place.engine.requests[0].turns[0])
        assert place.engine.requests[0].sampling.max_tokens == 99
        for more in ({}, {"Origin": PAGE}):
            again = await mint(place, key=issued.value, **more)
            assert again.status_code == 403
            assert error_of(again.json())[0] == "insufficient_permissions"


async def test_no_cache_may_keep_one():
    async with serving(KEYED) as place:
        headers = {"Authorization": f"Bearer {KEY}"}
        for path in ("/v1/realtime/client_secrets", "/v1/realtime/sessions"):
            answer = await place.ask("POST", path, headers=headers, json={})
            assert answer.headers["cache-control"] == "no-store"


async def test_how_many_a_key_may_make_is_limited():
    settings = replace(
        limited(mints_per_minute=2), auth=AuthConfig(keys=(KEY, "another-key-of-this-server"))
    )
    async with serving(settings) as place:
        assert [(await mint(place)).status_code for _ in range(2)] == [200, 200]
        headers = {"Authorization": f"Bearer {KEY}"}
        for path in ("/v1/realtime/client_secrets", "/v1/realtime/sessions"):
            refused = await place.ask("POST", path, headers=headers, content=b"{")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
            assert "2 short-lived keys per minute" in error_of(refused.json())[1]
        assert (await mint(place, key="another-key-of-this-server")).status_code == 200


async def test_a_short_lived_key_opens_nothing_but_its_session():
    async with serving(KEYED) as place:
        value = (await mint(place)).json()["value"]
        status, body, _ = await place.refusal("/v1/pcm", **bearer(value))
        assert (status, error_of(body)[0]) == (403, "insufficient_permissions")
        assert place.gateway.admission.taken == 0
        async with place.connect("/v1/realtime?intent=transcription", **bearer(value)) as socket:
            session = (await until(socket, "session.created"))["session"]
            assert session["type"] == "realtime"


async def test_one_that_is_to_write_down_answers_nothing():
    async with serving(KEYED) as place:
        session = {"type": "transcription"}
        value = (await mint(place, {"session": session})).json()["value"]
        async with place.connect(**bearer(value)) as socket:
            await until(socket, "session.created")
            await socket.send(json.dumps({"type": "session.update", "session": session}))
            await until(socket, "session.updated")
            update = {"type": "session.update", "session": {"type": "realtime"}}
            for message in (json.dumps(update), *written("Hello?")[1:]):
                await socket.send(message)
                error = (await until(socket, "error"))["error"]
                assert "transcription" in error["message"]
        assert place.engine.requests == []


async def test_a_conversation_is_taken_up_by_the_key_that_began_it_alone():
    other = "another-key-of-this-server"
    async with serving(Settings(auth=AuthConfig(keys=(KEY, other)))) as place:
        async with place.connect(**bearer(KEY)) as socket:
            secret = (await until(socket, "session.created"))["session"]["resume"]
            for path in ("/v1/realtime", "/v1/pcm"):
                path = f"{path}?conversation={secret}"
                async with place.connect(path, **bearer(other)) as thief:
                    told = await until(thief, "error") if "pcm" in path else None
                    assert told is None or told["code"] == "conversation_not_found"
            assert await socket.ping()
        value = (await mint(place)).json()["value"]
        again = f"/v1/realtime?conversation={secret}"
        async with place.connect(again, **bearer(value)) as socket:
            assert (await until(socket, "session.created"))["session"]["resume"] == secret


async def test_names_of_others_are_refused_while_no_key_is_needed():
    evil = {"Host": "evil.example:8765"}
    paths = ("/", "/web/main.js", "/healthz", "/metrics", "/v1/realtime", "/nowhere")
    async with serving(Settings()) as place:
        for path in paths:
            answer = await place.ask("GET", path, headers=evil)
            assert (answer.status_code, error_of(answer.json())[0]) == (421, "host_not_allowed")
        for path in ("/v1/realtime", "/v1/pcm", "/nowhere"):
            url = f"ws://evil.example:8765{path}"
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url, proxy=None, host="127.0.0.1", port=place.port):
                    pass
            body = json.loads(refused.value.response.body)
            assert refused.value.response.status_code == 421
            assert error_of(body)[0] == "host_not_allowed"
        for host in ("localhost:1", f"127.0.0.1:{place.port}", "[::1]"):
            assert (await place.ask("GET", "/", headers={"Host": host})).status_code == 200
    async with serving(KEYED) as place:
        assert (await place.ask("GET", "/", headers=evil)).status_code == 200


async def test_it_holds_ten_minutes_unless_said_otherwise():
    async with serving(KEYED) as place:
        answer = await place.ask(
            "POST", "/v1/realtime/client_secrets", headers={"api-key": KEY}, content=b""
        )
        assert 590 < answer.json()["expires_at"] - time.time() <= 600


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds", ">= 10"),
        ({"expires_after": {"seconds": 7_201}}, "expires_after.seconds", "<= 7200"),
        ({"expires_after": {"anchor": "now"}}, "expires_after.anchor", "now"),
        ({"session": 5}, "session", "object"),
        ([], None, "object"),
        ({"session": {"max_output_tokens": 0}}, "session.max_output_tokens", ""),
    ],
)
async def test_what_cannot_be_minted_is_told_by_its_field(body, param, words):
    async with serving(KEYED) as place:
        answer = await mint(place, body)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param
        assert words in error_of(answer.json())[1]


async def test_bodies_that_are_no_json_or_too_much_of_it():
    async with serving(KEYED) as place:
        headers = {"Authorization": f"Bearer {KEY}"}
        bodies = {b"{": 400, b"\xff": 400, b"[" * 100_000: 400, b"x" * 300_000: 413}
        for body, status in bodies.items():
            answer = await place.ask(
                "POST", "/v1/realtime/client_secrets", headers=headers, content=body
            )
            assert answer.status_code == status
            error_of(answer.json())
        assert (await mint(place, key="wrong")).status_code == 401
        refused = await mint(place, Origin="https://evil.example")
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
        assert (await mint(place, Origin=PAGE)).headers["access-control-allow-origin"] == PAGE


async def test_the_beta_had_another_way():
    async with serving(KEYED) as place:
        answer = await place.ask(
            "POST",
            "/v1/realtime/sessions",
            headers={"Authorization": f"Bearer {KEY}"},
            json={"model": "any", "instructions": "Be brief.", "input_audio_format": "g711_ulaw"},
        )
        assert answer.status_code == 200
        session = SessionCreateResponse.model_validate(answer.json())
        assert (session.instructions, session.input_audio_format) == ("Be brief.", "g711_ulaw")
        subprotocol = f"openai-insecure-api-key.{session.client_secret.value}"
        offered = ["realtime", subprotocol, "openai-beta.realtime-v1"]
        async with place.connect(subprotocols=offered) as socket:
            created = (await until(socket, "session.created"))["session"]
            assert created["input_audio_format"] == "g711_ulaw"


# ---- nothing of it in logs ----------------------------------------------------------------------


async def test_no_key_reaches_a_log(capfd, caplog):
    caplog.set_level(logging.DEBUG)
    for theirs in ("websockets.client", "httpx", "httpcore"):
        caplog.set_level(logging.WARNING, theirs)
    async with serving(KEYED) as place:
        issued = (await mint(place)).json()["value"]
        subprotocol = f"openai-insecure-api-key.{issued}"
        async with place.connect(f"/v1/realtime?model=m&api_key={KEY}", **bearer(KEY)) as socket:
            await until(socket, "session.created")
            await socket.send(b"\x00")
            await socket.send("nonsense")
        async with place.connect(subprotocols=["realtime", subprotocol]) as socket:
            await socket.send("x" * (MAX_EVENT + 1))
            await rest(socket)
        await place.refusal(**bearer(issued + "x"))
        await place.refusal("/v1/nothing", **bearer(KEY))
        await mint(place, {"session": 5})
    output = capfd.readouterr()
    for text in (caplog.text, output.out, output.err):
        assert KEY not in text
        assert issued not in text


async def test_no_key_is_in_the_traceback_of_our_own_mistake(capfd):
    script = lambda _: [Delta((1,), "Well"), 1 / 0]  # noqa: E731
    with undisturbed_logging():
        log.configure(level="debug")
        async with serving(KEYED, script) as place, place.connect(**bearer(KEY)) as socket:
            for message in written("the words of the user"):
                await socket.send(message)
            done = await until(socket, "response.done")
            assert done["response"]["status"] == "failed"
    errors = capfd.readouterr().err
    assert "ZeroDivisionError" in errors
    assert KEY not in errors
    assert "the words of the user" not in errors


async def test_a_spoken_question_is_answered():
    audio = np.repeat(np.frombuffer(question(), np.int16), 3)[::2]  # 24 kHz
    async with serving(KEYED) as place, place.connect(**bearer(KEY)) as socket:
        await until(socket, "session.created")
        for at in range(0, len(audio), 2_400):
            sound = base64.b64encode(audio[at : at + 2_400].tobytes()).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
        await until(socket, "input_audio_buffer.speech_started")
        await until(socket, "input_audio_buffer.committed")
        done = (await until(socket, "response.done"))["response"]
        assert done["status"] == "completed"
        assert done["output"][0]["content"][0]["text"] == "Hello there."


async def test_a_recording_over_the_limit_is_refused_by_the_event_that_brought_it():
    settings = limited(audio_seconds_per_minute=1)
    async with serving(settings) as place, place.connect(**bearer(KEY)) as socket:
        sound = base64.b64encode(bytes(2 * 48_000)).decode()
        content = [{"type": "input_audio", "audio": sound}]
        item = {"type": "message", "role": "user", "content": content}
        for number in range(2):  # each is answered, for somebody waits for each
            event = {"type": "conversation.item.create", "item": item, "event_id": f"e{number}"}
            await socket.send(json.dumps(event))
            error = (await until(socket, "error"))["error"]
            assert (error["code"], error["event_id"]) == ("rate_limit_exceeded", f"e{number}")
            assert "2.0 s at once" in error["message"]


async def test_an_address_can_ask_for_transcription_alone():
    path = "/v1/realtime?intent=transcription"
    async with serving(Settings()) as place, place.connect(path) as socket:
        assert (await until(socket, "session.created"))["session"]["type"] == "transcription"


async def test_a_key_whose_session_is_not_understood_here_ends_without_a_fault(caplog):
    async with serving(KEYED) as place:
        grant = place.gateway.authenticator.authorise({"authorization": f"Bearer {KEY}"})
        value, _ = place.gateway.authenticator.issuer.issue(
            grant.key, {"max_output_tokens": "many"}, 60
        )
        async with place.connect(**bearer(value)) as socket:
            assert await rest(socket) == []
            assert socket.close_code == 1008
            assert "max_output_tokens" in socket.close_reason
        assert not caplog.records


async def test_nobody_without_a_key_has_a_body_read():
    async with serving(KEYED) as place:
        answer = await place.ask("POST", "/v1/realtime/client_secrets", content=b"x" * 300_000)
        assert answer.status_code == 401
