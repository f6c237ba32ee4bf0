"""The server's events held against the types of the stock clients: pydantic, and zod in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel

NODE = Path(__file__).parents[1] / "node"
NODE_MISSING = not (shutil.which("node") and (NODE / "node_modules" / "ws").exists())
NODE_REASON = "needs Node and the packages of tests/node (scripts/setup)"

UNTYPED = {
    # OpenAI sends these and documents them; the type of a session is that of a request for one.
    "session.id",
    "session.object",
    "session.expires_at",
    # Ours: the secret by which the conversation is taken up again.
    "session.resume",
}
NEWER = {
    "session.prompt",
    "session.include",
    "session.truncation",
    "session.turn_detection.idle_timeout_ms",
    "response.usage.input_token_details.image_tokens",
    "response.usage.input_token_details.cached_tokens_details",
}
"""What the beta did not have, and has here."""


def by_type(union: Any) -> dict[str, type[BaseModel]]:
    """List the classes of the SDK's events by the `type` that they carry."""
    classes = get_args(get_args(union)[0])
    return {get_args(c.model_fields["type"].annotation)[0]: c for c in classes}


EVENTS = by_type(RealtimeServerEvent)
BETA_EVENTS = by_type(BetaServerEvent)


def strict(raw: bytes, events: dict[str, type[BaseModel]]) -> Any:
    """Give the event as its class of the SDK; its types and names must fit exactly."""
    message = json.loads(raw)
    if events is BETA_EVENTS:
        message.get("session", {}).pop("model", None)  # its types list OpenAI's models alone
    event = events[message["type"]].model_validate_json(json.dumps(message), strict=True)
    known = UNTYPED | NEWER if events is BETA_EVENTS else UNTYPED
    assert not (names := set(unknown(event)) - known), f"{names} in {raw!r}"
    return event


def unknown(value: Any, path: str = "") -> Iterator[str]:
    """List the fields that the SDK's types do not have."""
    match value:
        case BaseModel():
            yield from (f"{path}{name}" for name in value.model_extra or {})
            for name in type(value).model_fields:
                yield from unknown(getattr(value, name), f"{path}{name}.")
        case list():
            for entry in value:
                yield from unknown(entry, path)


class Zod:
    """The Agents SDK in Node, which is shown every event as if it had received it."""

    def __init__(self) -> None:
        command = ["node", "check.mjs"]
        self.node = subprocess.Popen(
            command, cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def faults(self, raw: bytes) -> list[str]:
        """Say what is wrong with an event."""
        assert self.node.stdin
        assert self.node.stdout
        self.node.stdin.write(raw.decode() + "\n")
        self.node.stdin.flush()
        answer: list[str] = json.loads(self.node.stdout.readline())
        return answer

    def close(self) -> None:
        """End the program."""
        self.node.communicate(timeout=60)
        assert self.node.returncode == 0
