"""Sound files of every kind, made here by FFmpeg's own encoders."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

import av
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Kind:
    """A container with a codec in it, as FFmpeg names them."""

    container: str
    codec: str
    rate: int = 48_000
    options: dict[str, str] = field(default_factory=dict)
    """Of the container."""
    coding: dict[str, str] = field(default_factory=dict)
    """Of the codec."""


QSCALE = {"q": "4", "flags": "+qscale", "global_quality": "472"}
AAC = {"b": "128000"}
KINDS = {
    "mp3": Kind("mp3", "libmp3lame", 44_100),
    "mp3-variable": Kind("mp3", "libmp3lame", 44_100, coding=QSCALE),
    "mp3-variable-bare": Kind("mp3", "libmp3lame", 44_100, {"write_xing": "0"}, QSCALE),
    "m4a": Kind("ipod", "aac", 44_100, coding=AAC),
    "m4a-lossless": Kind("ipod", "alac", 44_100),
    "mp4": Kind("mp4", "aac", 44_100, coding=AAC),
    "mp4-fragmented": Kind("mp4", "aac", 44_100, {"movflags": "frag_keyframe+empty_moov"}, AAC),
    "3gp": Kind("3gp", "libopencore_amrnb", 8_000),
    "aac": Kind("adts", "aac", 44_100, coding=AAC),
    "webm": Kind("webm", "libopus"),
    "webm-live": Kind("webm", "libopus", options={"live": "1"}),
    "mka": Kind("matroska", "aac"),
    "opus": Kind("ogg", "libopus"),
    "amr": Kind("amr", "libopencore_amrnb", 8_000),
    "wma": Kind("asf", "wmav2", 44_100, coding={"b": "96000"}),
    "caf": Kind("caf", "pcm_s16be"),
    "caf-lossless": Kind("caf", "alac"),
    "aiff": Kind("aiff", "pcm_s16be", 44_100),
    "au": Kind("au", "pcm_s16be"),
    "wav-24": Kind("wav", "pcm_s24le"),
    "wav-u8": Kind("wav", "pcm_u8"),
    "wav-adpcm": Kind("wav", "adpcm_ima_wav"),
    "wav-mp3": Kind("wav", "libmp3lame", 44_100),
    "rf64": Kind("wav", "pcm_s16le", options={"rf64": "always"}),
    "w64": Kind("w64", "pcm_f32le"),
    "mpegts": Kind("mpegts", "aac", coding=AAC),
    "avi": Kind("avi", "mp3", 44_100),
    "flv": Kind("flv", "aac", 44_100, coding=AAC),
}


def encode(samples: npt.NDArray[np.floating], kind: Kind, *, pictures: int = 0) -> bytes:
    """Encode full scale +-1 at the kind's own rate: a row, or a row for each channel."""
    file = BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(np.atleast_2d(samples))]
    with av.open(file, "w", format=kind.container, options=kind.options) as box:
        stream = box.add_stream(kind.codec, kind.rate, layout=layout, options=kind.coding)
        context = stream.codec_context
        context.open()
        film = box.add_stream("mpeg4", 25, width=32, height=32) if pictures else None
        for _ in range(pictures):
            box.mux(film.encode(av.VideoFrame(32, 32, "yuv420p")))
        rows = np.atleast_2d(samples).T.astype(np.float32)
        frame = av.AudioFrame.from_ndarray(rows.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate = kind.rate
        fitting = av.AudioResampler(
            context.format, layout, kind.rate, frame_size=context.frame_size or None
        )
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            box.mux(stream.encode(part))
        box.mux(stream.encode(None))
    return file.getvalue()
