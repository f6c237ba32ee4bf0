"""Offers and answers as text (RFC 8866, RFC 8829): what we take of an offer, and what we say.

One audio section and one for data are taken; all others are refused in the answer by port 0
(RFC 3264 6), so that whoever offers video too is heard. aiortc never sees what was refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from realtime.errors import RealtimeError

MOST_SECTIONS = 32
MOST_CANDIDATES = 32


class BadOffer(RealtimeError):
    """This offer cannot be answered; the text says why."""

    code = "invalid_offer"


@dataclass(frozen=True, slots=True)
class Section:
    """One `m=` line and what belongs to it."""

    lines: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Give audio, video, application or whatever it is called."""
        return self.lines[0][2:].split(" ")[0]

    @property
    def wanted(self) -> bool:
        """Tell whether the peer itself wants it (port 0 is a section that it gave up)."""
        return self.lines[0].split(" ")[1:2] != ["0"]

    def attribute(self, name: str) -> str | None:
        """Give the value of the first attribute of this name; empty for a plain flag."""
        for line in self.lines:
            if line == f"a={name}" or line.startswith(f"a={name}:"):
                return line[len(name) + 3 :]
        return None

    @property
    def has_opus(self) -> bool:
        """Tell whether Opus is among the formats (RFC 7587 7)."""
        formats = [line.lower() for line in self.lines if line.startswith("a=rtpmap:")]
        return any(line.split(" ")[-1].startswith("opus/48000") for line in formats)

    @property
    def sends(self) -> bool:
        """Tell whether the peer sends here; it does unless it says otherwise (RFC 8866 6.7)."""
        return not any(line in self.lines for line in ("a=recvonly", "a=inactive"))

    def refusal(self) -> list[str]:
        """Say no to this section."""
        kind, _, *rest = self.lines[0].split(" ")
        mid = self.attribute("mid")
        lines = [" ".join([kind, "0", *rest]), "c=IN IP4 0.0.0.0", "a=inactive"]
        return lines if mid is None else [*lines, f"a=mid:{mid}"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A peer's offer."""

    head: tuple[str, ...]
    sections: tuple[Section, ...]
    audio: int
    """Which section is taken for audio."""
    data: int | None

    @classmethod
    def parse(cls, text: str) -> Offer:
        """Read an offer; raise BadOffer saying what is wrong with it."""
        head, sections = split(text)
        audio = [i for i, part in enumerate(sections) if part.kind == "audio" and part.wanted]
        data = [i for i, part in enumerate(sections) if part.kind == "application" and part.wanted]
        if not audio:
            raise BadOffer("This offer has no audio; offer a microphone, with or without the rest.")
        opus = next((i for i in audio if sections[i].has_opus), None)
        if opus is None:
            raise BadOffer("This offer has no Opus; its audio cannot be received.")
        offer = cls(head, sections, opus, data[0] if data else None)
        if not sections[opus].sends and not data:
            raise BadOffer("This offer sends no audio and has no data channel: nothing can come.")
        offer.check()
        return offer

    def check(self) -> None:
        """Refuse a section that could not be connected (RFC 8839 5.4, RFC 8842 5.1)."""
        head = Section(self.head)
        for section in self.taken():
            for name in ("ice-ufrag", "ice-pwd", "fingerprint"):
                if not section.attribute(name) and not head.attribute(name):
                    raise BadOffer(f"This offer has no a={name}: it is not one of WebRTC.")
            if section.kind == "audio" and section.attribute("rtcp-mux") is None:
                raise BadOffer("This offer has no a=rtcp-mux, and WebRTC wants it (RFC 8834 4.5).")

    @property
    def bundled(self) -> bool:
        """Tell whether all goes over one transport (RFC 9143)."""
        return any(line.startswith("a=group:BUNDLE") for line in self.head)

    def taken(self) -> Iterator[Section]:
        """Give the sections that we take, in their order."""
        for index in self.places():
            yield self.sections[index]

    def places(self) -> list[int]:
        """Tell which sections are taken."""
        return sorted({self.audio} | ({self.data} if self.data is not None else set()))

    def text(self) -> str:
        """Write the offer with what we take alone."""
        mids = [mid for section in self.taken() if (mid := section.attribute("mid")) is not None]
        head = [f"a=group:BUNDLE {' '.join(mids)}" if bundles(line) else line for line in self.head]
        # In a bundle one section may carry the candidates for all, also one that we refuse.
        shared = candidates(self.sections) if self.bundled else []
        lines = list(head)
        for section in self.taken():
            found = candidates([section]) or shared
            lines += [line for line in section.lines if not connecting(line)]
            lines += found[:MOST_CANDIDATES]
        return "\r\n".join([*lines, ""])

    def answer(self, text: str, public_address: str = "") -> str:
        """Put the refusals into an answer to `text()`; name our public address, if we have one."""
        head, sections = split(text)
        given = dict(zip(self.places(), sections, strict=True))
        lines = list(head)
        for index, section in enumerate(self.sections):
            lines += given[index].lines if index in given else section.refusal()
        if public_address:
            lines = [at(public_address, line) for line in lines]
        return "\r\n".join([*lines, ""])


def split(text: str) -> tuple[tuple[str, ...], tuple[Section, ...]]:
    """Cut a description into its head and its sections; raise BadOffer if it is none."""
    lines = [line for line in text.replace("\r", "\n").split("\n") if line]
    if not lines or lines[0] != "v=0":
        raise BadOffer("This is no SDP: it does not begin with v=0.")
    if any(line[1:2] != "=" or not line[0].isalpha() for line in lines):
        raise BadOffer("This is no SDP: its lines are not all a letter, = and a value.")
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MOST_SECTIONS:
        raise BadOffer(f"This offer has {len(starts)} sections; {MOST_SECTIONS} may be.")
    bounds = [0, *starts, len(lines)]
    head, *sections = [tuple(lines[start:end]) for start, end in pairwise(bounds)]
    return head, tuple(map(Section, sections))


def bundles(line: str) -> bool:
    """Tell whether the line names the sections that share a transport."""
    return line.startswith("a=group:BUNDLE")


def connecting(line: str) -> bool:
    """Tell whether the line is about candidates, which we choose ourselves."""
    return line == "a=end-of-candidates" or line.startswith("a=candidate:")


def candidates(sections: tuple[Section, ...] | list[Section]) -> list[str]:
    """Give the candidates that can be tried: UDP to an address.

    Names (`….local` of browsers) would be looked up in the network for nothing: a browser that
    can be reached reaches us first, and then its address is known.
    """
    lines = [line for part in sections for line in part.lines if line.startswith("a=candidate:")]
    return [line for line in lines if is_reachable(line.split(" "))]


def is_reachable(words: list[str]) -> bool:
    """Tell whether a candidate (RFC 8839 5.1) is UDP to an address."""
    if len(words) < 8 or words[2].lower() != "udp" or not words[5].isdecimal():
        return False
    try:
        return not ipaddress.ip_address(words[4]).is_multicast
    except ValueError:
        return False


def at(public_address: str, line: str) -> str:
    """Let a host candidate of ours be found at the public address."""
    words = line.split(" ")
    if line.startswith("a=candidate:") and words[6:8] == ["typ", "host"]:
        words[4] = public_address
    return " ".join(words)
