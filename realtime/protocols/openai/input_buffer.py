"""The input_audio_buffer of one client: its stream of audio, and the speech found in it."""

from __future__ import annotations

from collections.abc import Iterator

from realtime.audio.ingest import AudioFormat, Ingest
from realtime.audio.pcm import ms_of
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.messages import MAX_AUDIO
from realtime.protocols.openai.responses import Told
from realtime.session.events import (
    AudioReceived,
    ClearAsked,
    CommitAsked,
    PeerInput,
    SilenceNoticed,
    SpeechStarted,
    SpeechStopped,
)

NAME = "input_audio_buffer"
RTP = AudioFormat()
"""How the audio of an RTP stream comes from the transport."""


class InputBuffer:
    """Holds no audio, only how it comes in and whether there is any that is not yet an item.

    With `manual` the client itself says when its turn ends, by pushing a button.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.ingest = Ingest(format)
        self.rtp = Ingest(RTP)
        self.speaking = False
        """Speech was announced and is not yet an item."""
        self.appended = False
        """Audio was pushed to talk and is not yet an item."""

    # ---- in -------------------------------------------------------------------------------------

    def append(self, audio: bytes, *, manual: bool) -> Iterator[PeerInput]:
        """Yield audio in pieces of at most a second."""
        if len(audio) > MAX_AUDIO:
            text = f"An append may have {MAX_AUDIO} bytes of audio; this one has {len(audio)}."
            raise BadEvent(text, param="audio")
        yield from self.hear(self.ingest, audio, manual=manual)

    def stream(self, audio: bytes, *, manual: bool) -> Iterator[PeerInput]:
        """Yield the audio of an RTP stream."""
        yield from self.hear(self.rtp, audio, manual=manual)

    def hear(self, ingest: Ingest, audio: bytes, *, manual: bool) -> Iterator[PeerInput]:
        """Yield audio; note that the client has begun to speak, where only it can know."""
        self.appended = self.appended or (manual and bool(audio))
        yield from map(AudioReceived, ingest.push(audio))

    def commit(self) -> Iterator[PeerInput]:
        """Yield what is still held, and that this is all; half a sample is forgotten."""
        yield from map(AudioReceived, self.ingest.flush())
        self.begin()
        yield CommitAsked(respond=False)

    def clear(self) -> PeerInput:
        """Forget what is held."""
        self.begin()
        return ClearAsked()

    def begin(self) -> None:
        """Begin a new stream in the same format."""
        self.ingest = Ingest(self.ingest.format)

    def change(self, format: AudioFormat) -> None:
        """Expect another format from now on; not in the middle of speech."""
        if format == self.ingest.format:
            return
        if self.speaking or self.appended:
            raise BadEvent(
                "The input format cannot change while there is audio in the input buffer;"
                " commit or clear it first.",
                param="session.audio.input.format",
            )
        self.ingest = Ingest(format)

    # ---- out ------------------------------------------------------------------------------------

    def empty(self) -> None:
        """Note that nothing is left in it."""
        self.speaking = self.appended = False

    def speech(
        self, notice: SpeechStarted | SpeechStopped | SilenceNoticed, *, manual: bool, asked: bool
    ) -> Iterator[Told]:
        """Tell when speech began and ended; `asked`: the client itself has just ended it.

        Who talks by pushing a button knows it, and who commits or clears in the middle of speech
        is not told of its end.
        """
        match notice:
            case SilenceNoticed(start, end, item):
                span = {"audio_start_ms": ms_of(start), "audio_end_ms": ms_of(end)}
                yield f"{NAME}.timeout_triggered", {**span, "item_id": item}
            case _ if manual:
                return
            case SpeechStarted(_, item, start):
                self.speaking = True
                yield f"{NAME}.speech_started", {"audio_start_ms": ms_of(start), "item_id": item}
            case SpeechStopped(at, _, item) if not asked:
                yield f"{NAME}.speech_stopped", {"audio_end_ms": ms_of(at), "item_id": item}
