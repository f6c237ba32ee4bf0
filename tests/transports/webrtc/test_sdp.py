"""Offers are cut to what we take, and answers say no to the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.transports.webrtc.sdp import MOST_CANDIDATES, MOST_SECTIONS, BadOffer, Offer, split

ICE = ["a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901", "a=fingerprint:sha-256 AA:BB"]
HEAD = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
AUDIO = [
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
    "c=IN IP4 0.0.0.0",
    "a=mid:a",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=rtpmap:0 PCMU/8000",
    *ICE,
]
VIDEO = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v", "a=rtpmap:96 VP8/90000", "a=rtcp-mux", *ICE]
DATA = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:d", "a=sctp-port:5000", *ICE]


def sdp(*parts: list[str], group: str | None = None) -> str:
    head = HEAD if group is None else [*HEAD, f"a=group:BUNDLE {group}"]
    return "\r\n".join([*head, *(line for part in parts for line in part), ""])


def kinds(text: str) -> list[str]:
    return [" ".join(s.lines[0][2:].split(" ")[:2]) for s in split(text)[1]]


def refused(text: str) -> str:
    with pytest.raises(BadOffer) as caught:
        Offer.parse(text)
    return str(caught.value)


def test_audio_and_data_are_taken():
    text = sdp(AUDIO, DATA, group="a d")
    offer = Offer.parse(text)
    assert (offer.audio, offer.data, offer.bundled) == (0, 1, True)
    assert offer.text() == text


def test_video_is_refused_and_the_rest_taken():
    offer = Offer.parse(sdp(VIDEO, AUDIO, DATA, group="v a d"))
    assert kinds(offer.text()) == ["audio 9", "application 9"]
    assert "a=group:BUNDLE a d" in offer.text()
    answer = offer.answer(sdp(AUDIO, DATA, group="a d"))
    assert kinds(answer) == ["video 0", "audio 9", "application 9"]
    assert split(answer)[1][0].lines == (
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        "a=inactive",
        "a=mid:v",
    )


def test_of_two_microphones_the_first_with_opus_is_taken():
    plain = [line.replace("mid:a", "mid:b") for line in AUDIO if "opus" not in line]
    offer = Offer.parse(sdp(plain, AUDIO, AUDIO))
    assert offer.audio == 1
    assert kinds(offer.answer(sdp(AUDIO))) == ["audio 0", "audio 9", "audio 0"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin with v=0"),
        ("hello", "does not begin with v=0"),
        ('{"sdp": "v=0"}', "does not begin with v=0"),
        ("v=0\r\nand so on\r\n", "a letter, = and a value"),
        (sdp(), "no audio"),
        (sdp(DATA), "no audio"),
        (sdp(VIDEO, DATA), "no audio"),
        (sdp(["m=audio 0 UDP/TLS/RTP/SAVPF 111", *AUDIO[1:]]), "no audio"),
        (sdp([line for line in AUDIO if "opus" not in line]), "no Opus"),
        (sdp([line for line in AUDIO if "ufrag" not in line]), "no a=ice-ufrag"),
        (sdp([line for line in AUDIO if "ice-pwd" not in line]), "no a=ice-pwd"),
        (sdp([line for line in AUDIO if "fingerprint" not in line]), "no a=fingerprint"),
        (sdp([line for line in AUDIO if "rtcp-mux" not in line]), "no a=rtcp-mux"),
        (sdp([*AUDIO, "a=recvonly"]), "sends no audio"),
        (sdp(*[VIDEO] * MOST_SECTIONS, AUDIO), "sections"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(text, reason):
    assert reason in refused(text)


def test_what_the_head_says_holds_for_all_sections():
    plain = [line for line in AUDIO if line not in ICE]
    offer = Offer.parse("\r\n".join([*HEAD, *ICE, *plain, ""]))
    assert offer.audio == 0


def test_a_peer_that_only_writes_needs_no_microphone():
    assert Offer.parse(sdp([*AUDIO, "a=recvonly"], DATA)).data == 1


def test_lines_may_end_as_they_like():
    assert Offer.parse(sdp(AUDIO).replace("\r\n", "\n")).text() == sdp(AUDIO)


def candidate(address: str, kind: str = "udp") -> str:
    return f"a=candidate:1 1 {kind} 2122260223 {address} 5000 typ host generation 0"


def test_only_candidates_that_can_be_tried_are_tried():
    good = [candidate("192.0.2.1"), candidate("2001:db8::1"), candidate("192.0.2.3", "UDP")]
    bad = [
        candidate("1f4712db-ea17-4bcf-a596-105139dfd8bf.local"),
        candidate("example.org"),
        candidate("224.0.0.251"),
        candidate("192.0.2.2", "tcp"),
        "a=candidate:1 1 udp 1 192.0.2.4",
        "a=end-of-candidates",
    ]
    text = Offer.parse(sdp([*AUDIO, *good, *bad])).text()
    assert [line for line in text.split("\r\n") if "candidate" in line] == good


def test_candidates_are_bounded():
    many = [candidate(f"192.0.2.{n}") for n in range(200)]
    text = Offer.parse(sdp([*AUDIO, *many])).text()
    assert text.count("a=candidate:") == MOST_CANDIDATES


def test_candidates_of_a_refused_section_count_for_its_bundle():
    offer = Offer.parse(sdp([*VIDEO, candidate("192.0.2.1")], AUDIO, DATA, group="v a d"))
    assert offer.text().count(candidate("192.0.2.1")) == 2
    alone = Offer.parse(sdp([*VIDEO, candidate("192.0.2.1")], AUDIO))
    assert "candidate" not in alone.text()


def test_host_candidates_of_an_answer_are_found_at_the_public_address():
    relayed = "a=candidate:2 1 udp 1 198.51.100.1 6000 typ relay raddr 0.0.0.0 rport 0"
    answer = Offer.parse(sdp(AUDIO)).answer(
        sdp([*AUDIO, candidate("10.0.0.1"), relayed]), "203.0.113.9"
    )
    assert candidate("203.0.113.9") in answer
    assert "10.0.0.1" not in answer
    assert relayed in answer


LINE = st.sampled_from(
    [*HEAD, *AUDIO, *VIDEO, *DATA, "m=", "m=audio", "a=mid", "a=", candidate("x")]
)


@given(st.lists(LINE, max_size=40), st.text(max_size=40))
def test_any_text_is_an_offer_or_refused(lines, rubbish):
    for text in (sdp(lines), "\n".join([*lines, rubbish]), rubbish):
        try:
            offer = Offer.parse(text)
        except BadOffer as error:
            assert str(error)  # noqa: PT017
        else:
            assert 1 <= len(split(offer.text())[1]) <= 2
