"""Send a loud second to a WHIP address with FFmpeg's own muxer, in real time."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from aiortc import RTCCertificate
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

FRAME = 960


def main(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = certificate(Path(folder))
        with av.open(url, "w", format="whip", options=options) as output:
            stream = output.add_stream("libopus", rate=48_000, layout="stereo")
            stream.codec_context.format = "s16"
            # The codec's default of 120 ms and "audio" would not be what a call is.
            stream.options = {"application": "voip", "frame_duration": "20"}
            began = time.monotonic()
            for number in range(100):
                loud = np.where(np.arange(2 * FRAME) % 240 < 120, 8000, -8000)
                samples = (loud * (5 <= number < 50)).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="stereo")
                frame.sample_rate, frame.pts = 48_000, number * FRAME
                for packet in stream.encode(frame):
                    output.mux(packet)
                time.sleep(max(0.0, began + number * 0.02 - time.monotonic()))


def certificate(folder: Path) -> dict[str, str]:
    """Write a P-256 certificate: FFmpeg's own does not connect to aiortc."""
    made = RTCCertificate.generateCertificate()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made._cert.public_bytes(Encoding.PEM))
    how = (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    key.write_bytes(made._key.private_bytes(*how))
    return {"cert_file": str(certificate), "key_file": str(key)}


if __name__ == "__main__":
    main(sys.argv[1])
