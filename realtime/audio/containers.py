"""Decode what comes in containers and codecs, with FFmpeg: mp3, ogg, m4a, webm, wma and more.

Run as a program it decodes its standard input: `realtime.audio.decoder` starts it so.

Rule: what FFmpeg decodes is read to its end; what its header or its pages promise beyond that is
missed. Formats that lead to other files or addresses (playlists, lists of parts) are not opened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from realtime.audio import mp3
from realtime.audio.mixdown import Floats, Mixdown, check_duration
from realtime.audio.pcm import Pcm, to_bytes
from realtime.errors import AudioError

FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,loas,matroska,webm,mov,mp4,"
    "mp3,mpeg,mpegts,ogg,tta,voc,w64,wav,wv"
)
"""FFmpeg's names of what is opened; none of these opens anything else."""

MEASURED = {"aiff", "asf", "au", "avi", "caf", "flac", "flv", "matroska", "mov", "w64", "wav"}
"""Those that say how long they are, if they do not leave it out."""

BLOCK = 2**17  # samples of all channels mixed down at a time
DAMAGED = 0.05  # share of the packets that may be damaged: at the joints of joined files some are
JOINTS = 2  # packets that may be damaged in any file
MISCOUNTED = 8_192  # samples by which headers are wrong about whole files: encoders' first and last
REFUSED = 3  # exit status: what is wrong with the file stands in the standard error


def decode(file: BinaryIO, max_s: float) -> Pcm:
    """Decode an open, seekable file; raise AudioError where it is not audio, or not whole."""
    counted = mp3.length(file)
    file.seek(0)
    try:
        box = av.open(file, "r", options={"format_whitelist": FORMATS}, metadata_errors="replace")
    except av.FFmpegError as error:
        kinds = "not a wav, flac, mp3 or ogg file, nor another sound file that is whole"
        raise AudioError(f"{kinds}: {reason(error)}") from error
    with box:
        try:
            return read_track(box, max_s, counted)
        except av.FFmpegError as error:
            raise AudioError(f"the file is cut off or damaged: {reason(error)}") from error


def reason(error: av.FFmpegError) -> str:
    """Say what FFmpeg says."""
    return (error.strerror or str(error)).strip().rstrip(".")


def read_track(box: InputContainer, max_s: float, counted: float | None) -> Pcm:
    """Decode the audio of a container; `counted`: the seconds that it has, if it is an mp3."""
    try:
        stream = box.streams.best("audio")
    except IndexError as error:  # one that FFmpeg came upon behind those that PyAV has listed
        raise AudioError("the file is damaged: its tracks are not those of its header") from error
    if not isinstance(stream, AudioStream):
        raise AudioError("the file holds no audio, only pictures or text")
    length = counted if box.format.name == "mp3" else promised(box, stream)
    if length is not None:
        check_duration(length, max_s)
    track = Track(box, stream)
    mixdown = Mixdown(max_s)
    for block, rate in gathered(track.frames()):
        mixdown.push(block, rate)
    samples = mixdown.finish()
    reached = max(track.reached, mixdown.seconds)
    if length is not None and reached < length - MISCOUNTED / mixdown.rate:
        raise AudioError(f"the file is cut off: {reached:.1f} of {length:.1f} s are left")
    return samples


class Track:
    """The audio of a container, packet after packet."""

    def __init__(self, box: InputContainer, stream: AudioStream) -> None:
        self.box = box
        self.stream = stream
        self.reached = 0.0
        """Where the last packet ends, in seconds; pauses of the recording are no loss."""

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Yield the packets of the track, and an empty one behind the last."""
        with suppress(IndexError):  # what PyAV says at the end if a later track came up on the way
            yield from self.box.demux(self.stream)

    def frames(self) -> Iterator[tuple[Floats, int]]:
        """Yield what packets decode to, and its rate; like FFmpeg, go on behind a damaged one."""
        packed = Packed()
        packets = damaged = 0
        for packet in self.packets():
            packets += 1
            if packet.pts is not None and packet.time_base is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.reached = max(self.reached, end)
            try:
                decoded = packet.decode()
            except av.InvalidDataError:
                damaged += 1
                continue
            for frame in decoded:
                for block in packed.floats(frame):
                    yield block, frame.sample_rate
        if damaged > max(JOINTS, DAMAGED * packets):
            message = f"{damaged} of {packets} packets cannot be decoded"
            raise AudioError(f"the file is damaged: {message}")


class Packed:
    """Frames of any kind as samples of +-1, one row each of all channels.

    By FFmpeg's own conversion, and never by the planes of a frame: where there are eight or more
    PyAV counts beyond the last and reads what is not the frame's, and it has no type for integers
    of 64 bits.
    """

    def __init__(self) -> None:
        self.kind: tuple[str, str, int] | None = None
        self.conversion: av.AudioResampler

    def floats(self, frame: av.AudioFrame) -> Iterator[Floats]:
        """Yield the samples of a frame, as they are."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self.kind:
            self.kind, self.conversion = kind, av.AudioResampler("flt")
        for packed in self.conversion.resample(frame):
            rows = packed.to_ndarray().reshape(-1, packed.layout.nb_channels)
            yield np.asarray(rows, np.float32)


def gathered(frames: Iterator[tuple[Floats, int]]) -> Iterator[tuple[Floats, int]]:
    """Join frames to blocks of the same rate and the same channels."""
    held: list[Floats] = []
    rate = size = 0
    for block, at_rate in frames:
        if held and (size >= BLOCK or at_rate != rate or block.shape[1] != held[0].shape[1]):
            yield np.concatenate(held), rate
            held, size = [], 0
        held.append(block)
        rate = at_rate
        size += block.size
    if held:
        yield np.concatenate(held), rate


def promised(box: InputContainer, stream: AudioStream) -> float | None:
    """Give the seconds that a container says its audio has; None where FFmpeg guesses them."""
    if MEASURED.isdisjoint(box.format.name.split(",")):
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if box.duration is not None and len(box.streams) == 1:
        return box.duration / av.time_base
    return None


def main(max_s: str) -> None:
    """Write the samples of a file, or what is wrong with it."""
    try:
        samples = decode(sys.stdin.buffer, float(max_s))
    except AudioError as error:
        sys.stderr.write(str(error))
        sys.exit(REFUSED)
    sys.stdout.buffer.write(to_bytes(samples))


if __name__ == "__main__":
    main(sys.argv[1])
