"""Calls with real WebRTC peers (ICE, DTLS, SRTP, Opus, SCTP), the engine being scripted."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aioice.ice
import av
import httpx
import numpy as np
import pytest
from aiortc import RTCDtlsTransport
from fakes import GUARD_S, LoudVad, loud, question, undisturbed_logging
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from realtime import log
from realtime.config import Settings
from realtime.engine.fake import FakeEngine
from realtime.gateway.access.auth import Grant
from realtime.gateway.access.keys import KEYLESS
from realtime.gateway.access.settings import AuthConfig
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.server import bind, web_server
from realtime.gateway.routes.app import create_app
from realtime.gateway.routes.calls import Calls
from realtime.gateway.routes.offers import MOST_SDP
from realtime.gateway.routes.openai import OpenAiRoutes
from realtime.gateway.settings import AdmissionConfig, ConnectionConfig
from realtime.protocols.pcm import PcmCodec
from realtime.transports.webrtc import peer, rtp_audio
from realtime.transports.webrtc.settings import WebRtcConfig
from scripts.bench.caller import CALLS, Caller, Relay, Weather, calling, connection, dial

FAST = 4.0  # times real time: the server's clock is the audio's
SDP = {"Content-Type": "application/sdp"}
ASKED = np.frombuffer(question(), np.int16)


@dataclass
class Place:
    """A running server."""

    url: str
    gateway: Gateway
    calls: Calls
    openai: OpenAiRoutes

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(trust_env=False, base_url=self.url, timeout=GUARD_S) as client:
            yield client

    async def post(self, path: str, content: str | bytes, **headers: str) -> httpx.Response:
        async with self.http() as http:
            return await http.post(path, content=content, headers=SDP | headers)

    async def gone(self) -> None:
        """Wait until nothing is left of any call; then see that nothing is."""
        calls = self.calls
        async with asyncio.timeout(GUARD_S):
            while calls.tasks:
                await asyncio.wait(tuple(calls.tasks.values()))
        assert not calls.peers
        assert not self.gateway.connections
        assert (calls.taken, calls.opening, self.gateway.admission.taken) == (0, 0, 0)

    def count(self, name: str, **labels: str) -> float:
        return self.gateway.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def served(
    script="Hello there.",
    *,
    plain: bool = True,
    webrtc: WebRtcConfig = WebRtcConfig(),  # noqa: B008
    admission: AdmissionConfig = AdmissionConfig(),  # noqa: B008
    connection: ConnectionConfig = ConnectionConfig(),  # noqa: B008
    auth: AuthConfig = AuthConfig(),  # noqa: B008
) -> AsyncIterator[Place]:
    chosen = replace(
        Settings(), webrtc=webrtc, admission=admission, connection=connection, auth=auth
    )
    app = create_app(chosen, FakeEngine(script), vad_factory=LoudVad)
    if plain:
        # Its few words are easier to follow where the protocol is not what is tested.
        app.state.openai.call_codec = lambda _: (PcmCodec(), [])
    with bind("127.0.0.1", 0) as listening:
        web = web_server(app, chosen.server)
        serving = asyncio.create_task(web.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        place = Place(url, app.state.gateway, app.state.calls, app.state.openai)
        try:
            yield place
        finally:
            await place.gateway.close(GUARD_S)
            await place.gone()
            web.should_exit = True
            await serving


async def an_offer(*, audio: bool = True, data: bool = True) -> str:
    """Give a real offer whose maker is gone."""
    caller = connection()
    if audio:
        caller.addTransceiver("audio", direction="sendonly")
    if data:
        caller.createDataChannel("oai-events")
    await caller.setLocalDescription(await caller.createOffer())
    text = caller.localDescription.sdp
    await caller.close()
    return text


async def ask(caller: Caller, turn: int = 1) -> str:
    """Ask a question and give the answer."""
    caller.microphone.say(ASKED)
    return (await caller.until("final", turn))["text"]


# ---- conversations ------------------------------------------------------------------------------


@pytest.mark.real_time
async def test_a_spoken_question_is_answered_on_the_data_channel():
    async with served() as place, calling(place.url, speed=FAST) as caller:
        assert caller.response.status_code == 201
        assert caller.response.headers["content-type"] == "application/sdp"
        assert re.fullmatch(CALLS + r"/rtc_\w{32}", caller.location)
        assert (await caller.until("ready"))["model"] == "fake"
        assert await ask(caller) == "Hello there."
        assert await ask(caller, 2) == "Hello there."
        types = [m["type"] for m in caller.got][:6]
        assert types == [
            "ready",
            "speech_started",
            "speech_stopped",
            "partial",
            "partial",
            "final",
        ]


async def test_the_answer_takes_opus_only_and_sends_nothing():
    async with served() as place, calling(place.url) as caller:
        answer = caller.response.text
        assert re.findall(r"a=rtpmap:\d+ (\S+)", answer) == ["opus/48000/2"]
        assert re.findall(r"a=(sendrecv|sendonly|recvonly|inactive)", answer) == ["recvonly"]
        assert answer.count("a=candidate:") > 0


@pytest.mark.real_time
async def test_a_question_is_answered_though_the_sender_stops_in_the_middle(monkeypatch):
    monkeypatch.setattr(peer, "WATCH_S", 0.05)
    monkeypatch.setattr(rtp_audio, "MUTE_S", 0.2)
    async with served() as place, calling(place.url) as caller:
        await caller.until("ready")
        caller.microphone.say(loud(60_000))
        await caller.until("speech_started")
        (sender,) = caller.connection.getSenders()
        sender.replaceTrack(None)
        assert (await caller.until("final"))["text"] == "Hello there."


async def test_a_written_message_is_answered():
    async with served() as place, calling(place.url) as caller:
        await caller.until("ready")
        caller.say({"type": "text", "text": "Hello?"})
        caller.say({"type": "respond"})
        assert (await caller.until("final"))["text"] == "Hello there."


async def test_a_form_brings_the_session_to_whoever_makes_the_codec():
    async with served() as place:
        seen = []
        place.openai.call_codec = lambda call: seen.append(call) or (PcmCodec(), [])
        offer = await an_offer()
        files = {
            "sdp": (None, offer, "application/sdp"),
            "session": (None, json.dumps({"type": "realtime", "model": "m"}), "application/json"),
        }

        async def post(client: httpx.AsyncClient) -> httpx.Response:
            return await client.post(CALLS + "?model=x", files=files)

        async with place.http() as http:
            assert (await post(http)).status_code == 201
        caller = connection()
        caller.addTransceiver("audio", direction="sendonly")
        channel = caller.createDataChannel("oai-events")
        ready = asyncio.Event()
        channel.on("message", lambda _: ready.set())
        await caller.setLocalDescription(await caller.createOffer())
        files["sdp"] = (None, caller.localDescription.sdp, "application/sdp")
        async with place.http() as http:
            response = await post(http)
        await caller.setRemoteDescription(type(caller.localDescription)(response.text, "answer"))
        async with asyncio.timeout(GUARD_S):
            await ready.wait()
        await caller.close()
        assert [call.session for call in seen] == [{"type": "realtime", "model": "m"}]
        assert seen[0].query == {"model": "x"}
        assert response.headers["location"].endswith(seen[0].id)


@pytest.mark.real_time
async def test_a_conversation_is_taken_up_again_over_another_call():
    async with served() as place:
        async with calling(place.url, speed=FAST) as caller:
            secret = (await caller.until("ready"))["resume"]
            await ask(caller)
        await place.gone()
        async with calling(place.url, f"{CALLS}?conversation={secret}") as caller:
            assert (await caller.until("ready"))["resume"] == secret


@pytest.mark.real_time
async def test_loss_and_jitter_move_no_position():
    async with served() as place:
        asked = np.concatenate((ASKED, ASKED))
        heard = []
        for weather in (Weather(), Weather(loss=0.1, jitter_s=0.06)):
            async with calling(place.url, relay=Relay(weather, seed=3)) as caller:
                await caller.until("ready")
                caller.relay.begin()
                caller.microphone.say(asked)
                await caller.until("final", 2)
                heard.append([m["at_ms"] for m in caller.got if m["type"] == "speech_started"])
        clean, bad = (second - first for first, second in heard)
        assert caller.relay.lost > 0
        # Loss may hide the first 20 ms of a sound, and no more: what follows is where it was.
        assert abs(clean - bad) <= 60


# ---- WHIP ---------------------------------------------------------------------------------------


async def follow(place: Place, path: str, **headers: str) -> AsyncIterator[dict]:
    """Give a session's messages."""
    async with (
        place.http() as http,
        http.stream("GET", path, headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])


@pytest.mark.real_time
async def test_a_sender_without_data_channel_is_answered_and_followed():
    async with served() as place:
        caller = await dial(place.url, "/whip", speed=FAST, label=None)
        assert re.fullmatch(r"/whip/whip_\w{32}", caller.location)
        caller.microphone.say(ASKED)
        async with asyncio.timeout(GUARD_S):
            got = []
            async for message in follow(place, caller.location + "/events"):
                got.append(message)
                if message["type"] == "final":
                    break
            assert [m["type"] for m in got][:2] == ["ready", "speech_started"]
            assert got[-1]["text"] == "Hello there."
            late = follow(place, caller.location + "/events", **{"Last-Event-ID": "1"})
            assert (await anext(late))["type"] == "speech_started"
            await late.aclose()
            async with place.http() as http:
                assert (await http.delete(caller.location)).status_code == 200
                await place.gone()
                assert (await http.delete(caller.location)).status_code == 404
                assert (await http.get(caller.location + "/events")).status_code == 404
        await caller.close()


async def test_who_follows_is_let_go_when_the_call_ends():
    async with served() as place:
        caller = await dial(place.url, "/whip", label=None)
        async with asyncio.timeout(GUARD_S):
            following = follow(place, caller.location + "/events")
            assert (await anext(following))["type"] == "ready"
            await caller.close()
            assert [m async for m in following] == []


@pytest.mark.real_time
@pytest.mark.skipif("whip" not in av.formats_available, reason="this FFmpeg has no WHIP")
async def test_a_stock_sender_is_heard_and_ends_its_call():
    async with served() as place:
        command = [sys.executable, str(Path(__file__).with_name("ffmpeg_sender.py"))]
        sender = await asyncio.create_subprocess_exec(*command, place.url + "/whip")
        async with asyncio.timeout(GUARD_S):
            assert await sender.wait() == 0
        await place.gone()
        assert place.count("realtime_utterances_total") == 1


async def test_ice_servers_are_named_to_senders():
    turn = "turn:127.0.0.1:9?transport=udp"
    config = WebRtcConfig(
        ice_servers=f"stun:127.0.0.1:9 {turn}", ice_username="me", ice_credential='a"b'
    )
    links = (
        '<stun:127.0.0.1:9>; rel="ice-server", '
        f'<{turn}>; rel="ice-server"; username="me"; credential="a\\"b"; '
        'credential-type="password"'
    )
    async with served(webrtc=config) as place, place.http() as http:
        response = await http.options("/whip")
        assert response.status_code == 204
        assert response.headers["link"] == links
        assert response.headers["accept-post"] == "application/sdp"
        place.gateway.authorise = lambda _: JSONResponse({}, 401)
        assert "link" not in (await http.options("/whip")).headers


async def test_other_methods_are_refused_with_the_reason():
    async with served() as place, place.http() as http:
        response = await http.patch("/whip/whip_1", content="a=ice-ufrag:x")
        assert (response.status_code, response.headers["allow"]) == (405, "DELETE, OPTIONS")
        assert "restart is a new POST" in response.json()["error"]["message"]
        for method, path in (("GET", "/whip"), ("PUT", "/whip"), ("GET", CALLS)):
            response = await http.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
            assert response.json()["error"]["code"] == "method_not_allowed"


# ---- pages of other origins, and who may call ---------------------------------------------------


async def test_a_page_of_an_allowed_origin_may_call_and_others_may_not():
    ours, other = {"Origin": "https://a.example"}, {"Origin": "https://b.example"}
    async with (
        served(auth=AuthConfig(origins=("https://a.example",))) as place,
        place.http() as http,
    ):
        for path in (CALLS, "/whip"):
            posted = await http.post(path, content="no", headers=SDP | ours)
            assert posted.status_code == 400
            assert posted.headers["access-control-allow-origin"] == "https://a.example"
            assert "Location" in posted.headers["access-control-expose-headers"]
            refused = await http.post(path, content="no", headers=SDP | other)
            assert refused.status_code == 403


@pytest.mark.real_time
async def test_a_call_speaks_openai_realtime_with_the_session_that_it_asked_for():
    async with served(plain=False) as place, calling(place.url, speed=FAST) as caller:
        created = await caller.until("session.created")
        assert created["session"]["model"] == "fake"
        caller.say(
            {"type": "session.update", "session": {"type": "realtime", "instructions": "Hi."}}
        )
        updated = await caller.until("session.updated")
        assert updated["session"]["instructions"] == "Hi."
        caller.say(b"\x00\x01")
        assert (await caller.until("error"))["error"]["type"] == "invalid_request_error"
        caller.microphone.say(ASKED)
        done = await caller.until("response.done")
        assert done["response"]["output"][0]["content"][0]["text"] == "Hello there."


async def test_a_session_that_cannot_be_had_is_refused_before_anything_is_allocated():
    async with served(plain=False) as place, place.http() as http:
        session = {"type": "realtime", "audio": {"input": {"turn_detection": {"threshold": 7}}}}
        files = {
            "sdp": (None, await an_offer(), "application/sdp"),
            "session": (None, json.dumps(session), "application/json"),
        }
        response = await http.post(CALLS, files=files)
        assert response.status_code == 400
        assert "threshold" in response.json()["error"]["param"]
        assert place.calls.taken == 0


async def test_who_may_not_call_is_refused_before_the_body_is_read():
    async with served() as place:
        refusal = {"error": {"message": "No key.", "type": "invalid_request_error", "code": "key"}}
        place.gateway.authorise = lambda _: JSONResponse(refusal, 401)
        for path in (CALLS, "/whip", f"{CALLS}/rtc_1/hangup"):
            response = await place.post(path, "no offer")
            assert (response.status_code, response.json()) == (401, refusal)
        assert place.calls.taken == 0


async def test_a_key_whose_session_cannot_be_had_here_makes_no_call():
    async with served(plain=False) as place:

        def authorise(request) -> None:
            session = {"audio": {"input": {"format": {"type": "audio/none"}}}}
            allowance = place.gateway.authenticator.allowances.of(KEYLESS)
            request.state.grant = Grant(KEYLESS, allowance, session)

        place.gateway.authorise = authorise
        response = await place.post(CALLS, await an_offer())
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "session.audio.input.format.type"
        assert place.calls.taken == 0


# ---- keys ---------------------------------------------------------------------------------------

KEY, OTHER = "the-first-key-of-this-server", "another-key-of-this-server"
KEYED = AuthConfig(keys=(KEY, OTHER))


async def short_lived(place: Place, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    async with place.http() as http:
        answer = await http.post("/v1/realtime/client_secrets", headers=headers)
    return answer.json()["value"]


async def test_a_call_is_there_for_its_own_key_alone():
    async with served(auth=KEYED) as place, place.http() as http:
        first, second = [await short_lived(place, KEY) for _ in range(2)]
        others = (OTHER, await short_lived(place, OTHER), second)
        caller = await dial(place.url, key=first)
        sender = await dial(place.url, "/whip", label=None, key=first)
        asked = (
            ("POST", caller.location + "/hangup"),
            ("GET", caller.location + "/events"),
            ("GET", sender.location + "/events"),
            ("DELETE", sender.location),
        )
        for method, path in asked:
            unknown = re.sub(r"_\w{32}", "_" + "0" * 32, path)
            for key in others:
                headers = {"Authorization": f"Bearer {key}"}
                refused = await http.request(method, path, headers=headers)
                nothing = await http.request(method, unknown, headers=headers)
                assert (refused.status_code, refused.content) == (404, nothing.content)
        await caller.until("ready")
        assert len(place.calls.peers) == 2
        for (method, path), key in zip((asked[0], asked[3]), (first, KEY), strict=True):
            headers = {"Authorization": f"Bearer {key}"}
            assert (await http.request(method, path, headers=headers)).status_code == 200
        await place.gone()
        await caller.close()
        await sender.close()


async def test_no_key_takes_every_place_of_calls_that_are_being_opened():
    config = WebRtcConfig(opening=6)
    async with served(auth=KEYED, webrtc=config) as place:
        offer = await an_offer()

        async def post(key: str) -> httpx.Response:
            return await place.post(CALLS, offer, Authorization=f"Bearer {key}")

        answers = [await post(KEY) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 2
        assert "of this key" in answers[-1].json()["error"]["message"]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await post(await short_lived(place, KEY))).status_code == 429
        assert (await post(OTHER)).status_code == 201
        assert place.calls.opening == 4


async def test_a_short_lived_key_that_is_to_write_down_makes_no_call_that_answers():
    async with served(auth=KEYED, plain=False) as place, place.http() as http:
        body = {"session": {"type": "transcription"}}
        headers = {"Authorization": f"Bearer {KEY}"}
        issued = await http.post("/v1/realtime/client_secrets", headers=headers, json=body)
        headers = {"Authorization": f"Bearer {issued.json()['value']}"}
        files = {
            "sdp": (None, await an_offer(), "application/sdp"),
            "session": (None, json.dumps({"type": "realtime"}), "application/json"),
        }
        refused = await http.post(CALLS, files=files, headers=headers)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "session.type"
        assert place.calls.taken == 0


async def test_no_cache_may_keep_what_opens_a_call():
    config = WebRtcConfig(ice_servers="turn:127.0.0.1:9", ice_username="me", ice_credential="b")
    async with served(webrtc=config) as place, place.http() as http:
        answers = [await place.post(path, await an_offer()) for path in (CALLS, "/whip")]
        for answer in (*answers, await http.options("/whip")):
            assert answer.headers["cache-control"] == "no-store"


# ---- bad offers ---------------------------------------------------------------------------------


async def test_what_is_no_offer_is_refused_and_leaves_nothing():
    async with served() as place:
        offer = await an_offer()
        bad = {
            "": 400,
            "hello": 400,
            await an_offer(audio=False): 400,
            offer.replace("m=audio", "m=video"): 400,
            offer.replace("opus", "speex"): 400,
            offer.replace("a=ice-ufrag:", "a=ice-ufra:"): 400,
            offer + "a=x\r\n" * MOST_SDP: 413,
        }
        for text, status in bad.items():
            response = await place.post(CALLS, text)
            assert response.status_code == status
            assert response.json()["error"]["type"] == "invalid_request_error"
        assert (await place.post(CALLS, offer, **{"Content-Type": "text/plain"})).status_code == 415
        assert (place.calls.taken, place.calls.tasks) == (0, {})


async def test_an_offer_with_video_is_answered_without_it():
    ice = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA\r\n"
    video = f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\n{ice}"

    def offered(text: str) -> str:
        return text.replace("BUNDLE ", "BUNDLE v ").replace("m=audio", video + "m=audio")

    def answered(text: str) -> str:
        # aiortc, as a client, cannot read a refusal.
        return re.sub(r"m=video 0 (?s:.*?)(?=m=)", "", text)

    async with (
        served() as place,
        calling(place.url, speed=FAST, offered=offered, answered=answered) as caller,
    ):
        kinds = re.findall(r"m=(\w+) (\d+)", caller.response.text)
        assert [kind for kind, _ in kinds] == ["video", "audio", "application"]
        assert [port == "0" for _, port in kinds] == [True, False, False]
        assert "BUNDLE 0 1\r\n" in caller.response.text
        assert await ask(caller) == "Hello there."


LINES = st.lists(st.integers(0, 60), min_size=1, max_size=8)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(dropped=LINES, doubled=LINES, rubbish=st.text(max_size=30))
def test_a_mangled_offer_is_answered_or_refused_never_more(dropped, doubled, rubbish):
    async def offer_it() -> None:
        async with served(webrtc=WebRtcConfig(connect_s=5.0)) as place:
            lines = (await an_offer()).split("\r\n")
            mangled = []
            for number, line in enumerate(lines):
                if number in dropped:
                    continue
                mangled += [line] * (2 if number in doubled else 1)
            mangled.insert(len(lines) // 2, f"a={rubbish}")
            response = await place.post(CALLS, "\r\n".join(mangled).encode("utf-8", "replace"))
            assert response.status_code in (201, 400)

    asyncio.run(offer_it())


async def test_a_fault_of_ours_is_said_and_leaves_nothing(monkeypatch):
    async def fail(_) -> str:
        raise OSError("no more ports")

    monkeypatch.setattr(peer.Peer, "answer", fail)
    with undisturbed_logging():
        log.configure(level="critical")
        async with served() as place:
            response = await place.post(CALLS, await an_offer())
            assert response.status_code == 500
            assert response.json()["error"]["code"] == "internal_error"
            assert "ports" not in response.text
            assert place.calls.taken == 0


async def test_an_ice_server_that_cannot_be_reached_only_costs_its_candidate():
    config = WebRtcConfig(ice_servers="turn:127.0.0.1:9?transport=tcp", ice_username="me")
    async with served(webrtc=config) as place, calling(place.url) as caller:
        assert "typ host" in caller.response.text
        await caller.until("ready")


# ---- odd peers ----------------------------------------------------------------------------------


async def test_binary_on_the_data_channel_is_an_error_and_no_audio():
    async with served() as place, calling(place.url, speed=FAST) as caller:
        await caller.until("ready")
        caller.say(question())
        error = await caller.until("error")
        assert (error["code"], error["fatal"]) == ("wrong_type", False)
        assert await ask(caller) == "Hello there."
        assert place.count("realtime_utterances_total") == 1


@pytest.mark.real_time
async def test_a_channel_of_another_name_is_not_ours_and_media_needs_none():
    async with served() as place, calling(place.url, speed=FAST, label="chat") as caller:
        caller.microphone.say(ASKED)
        await caller.microphone.silent.wait()
        assert caller.got == []
        ours = caller.connection.createDataChannel("oai-events")
        ours.on("message", caller.heard)
        assert (await caller.until("final"))["text"] == "Hello there."
        assert caller.got[0]["type"] == "ready"


async def test_a_peer_that_closes_its_channel_has_hung_up():
    async with served() as place, calling(place.url) as caller:
        await caller.until("ready")
        caller.channel.close()
        await place.gone()


async def test_a_call_is_hung_up_by_request():
    async with served() as place, calling(place.url) as caller:
        await caller.until("ready")
        assert (await place.post(caller.location + "/hangup", "")).status_code == 200
        await place.gone()
        assert (await place.post(caller.location + "/hangup", "")).status_code == 404


async def test_offers_that_never_connect_are_bounded_in_number_and_in_time():
    config = WebRtcConfig(opening=3, connect_s=1.0)
    async with served(webrtc=config) as place:
        offer = await an_offer()
        responses = [await place.post(CALLS, offer) for _ in range(20)]
        statuses = [response.status_code for response in responses]
        assert statuses.count(201) >= 3
        refused = next(r for r in responses if r.status_code == 429)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(refused.headers["retry-after"]) >= 1
        assert place.calls.opening <= 3
        await place.gone()
        assert place.gateway.admission.slots == {}
        async with calling(place.url) as caller:
            await caller.until("ready")


async def test_a_peer_that_never_does_dtls_is_given_up(monkeypatch):
    async def nothing(*_) -> None:
        pass

    async with served(webrtc=WebRtcConfig(connect_s=1.0)) as place:
        caller = await dial(place.url, answered=lambda text: patched(monkeypatch, nothing, text))
        await place.gone()
        monkeypatch.undo()
        await caller.close()
        assert place.gateway.admission.slots == {}


def patched(monkeypatch, nothing, text: str) -> str:
    """Let the caller, but not the server whose answer this is, skip its handshake."""
    begin = RTCDtlsTransport.start
    server = re.search(r"a=fingerprint:sha-256 (\S+)", text)[1]

    async def start(self, parameters) -> None:
        theirs = [print.value for print in parameters.fingerprints]
        await (nothing if server in theirs else begin)(self, parameters)

    monkeypatch.setattr(RTCDtlsTransport, "start", start)
    return text


async def test_a_peer_that_vanishes_is_noticed(monkeypatch):
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 2)
    async with served() as place:
        caller = await dial(place.url)
        await caller.until("ready")
        transport = caller.connection.sctp.transport.transport
        for protocol in transport._connection._protocols:
            protocol.transport.abort()
        await place.gone()
        await caller.close()


async def test_no_more_calls_than_there_are_places():
    async with (
        served(webrtc=WebRtcConfig(peers=1)) as place,
        calling(place.url) as caller,
    ):
        await caller.until("ready")
        response = await place.post(CALLS, await an_offer())
        assert response.status_code == 503
        assert response.json()["error"]["type"] == "server_error"
        assert "retry-after" in response.headers


async def test_a_call_takes_the_place_of_a_session():
    async with (
        served(admission=AdmissionConfig(sessions=1)) as place,
        calling(place.url) as caller,
    ):
        await caller.until("ready")
        assert place.gateway.admission.taken == 1
        assert (await place.post(CALLS, await an_offer())).status_code == 503
        assert place.count("realtime_refused_total", code="busy") == 1


async def test_a_server_that_goes_away_leaves_nothing_of_a_call():
    async with served() as place, calling(place.url) as caller:
        await caller.until("ready")
        offer = await an_offer()
        assert (await place.post(CALLS, offer)).status_code == 201  # this one never connects
        await place.gateway.close(GUARD_S)
        await place.gone()
        assert (await place.post(CALLS, offer)).status_code == 503
