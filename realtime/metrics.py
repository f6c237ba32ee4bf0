"""What the gateway counts, for Prometheus. No label ever holds anything of a user."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from realtime.session.events import Final, Notice, SpeechStopped, Trouble

FIRST_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
TOTAL_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class Metrics:
    """One gateway's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.sessions = Gauge("realtime_sessions", "Sessions open now.", registry=registry)
        self.refused = Counter(
            "realtime_refused", "Connections refused, by code.", ["code"], registry=registry
        )
        self.audio_seconds = Counter(
            "realtime_audio_seconds", "Seconds of audio received.", registry=registry
        )
        self.utterances = Counter("realtime_utterances", "Utterances heard.", registry=registry)
        self.responses = Counter(
            "realtime_responses", "Answers, by how they ended.", ["finish"], registry=registry
        )
        self.first_token = Histogram(
            "realtime_first_token_seconds",
            "From the complete turn to the first partial.",
            buckets=FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        self.total = Histogram(
            "realtime_response_seconds",
            "From the complete turn to the end of the answer.",
            buckets=TOTAL_BUCKETS,
            registry=registry,
        )
        self.barge_ins = Counter(
            "realtime_barge_ins", "Answers stopped because the user spoke.", registry=registry
        )
        self.speculations = Counter(
            "realtime_guesses",
            "Answers begun at a pause, by what became of them: kept, lost.",
            ["outcome"],
            registry=registry,
        )
        self.errors = Counter(
            "realtime_errors", "Errors told to peers, by code.", ["code"], registry=registry
        )
        self.slow_peers = Counter(
            "realtime_outbox_overflows", "Peers that did not read.", registry=registry
        )
        self.log_lost = Gauge(
            "realtime_log_lines_lost",
            "Lines of the log that nobody took, since the start.",
            registry=registry,
        )
        self.engine_ready = Gauge(
            "realtime_engine_ready", "1 when the model is loaded.", registry=registry
        )

    def note(self, notice: Notice) -> None:
        """Count what a peer is told."""
        match notice:
            case SpeechStopped():
                self.utterances.inc()
            case Final():
                self.responses.labels(notice.finish).inc()
                if notice.failure is not None:
                    self.errors.labels(notice.failure.code).inc()
            case Trouble():
                self.errors.labels(notice.code).inc()

    def text(self) -> tuple[bytes, str]:
        """Give the page and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
