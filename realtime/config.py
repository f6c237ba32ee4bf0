"""Settings: read from a TOML file, the environment and the command line, composed once.

Later sources win: defaults, FILE, REALTIME_SECTION_KEY, options. Every component gets its own
frozen part. Whatever is wrong is one ConfigError that names the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import os
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from realtime.audio.endpoint import EndpointConfig
from realtime.engine.worker.process import WorkerConfig
from realtime.errors import ConfigError
from realtime.service_links import service_links
from realtime.session.settings import SessionConfig

DEMO_MODEL = Path(__file__).parent / "demo_model"
PREFIX = "REALTIME_"
ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
"""RFC 6454 6.2: a scheme and a host, no path; browsers write them in small letters."""
CLIENT_KEY = "REALTIME_KEY"
"""In the environment, what `realtime ask` shows a server; no setting."""
SECRET = {("auth", "keys"), ("auth", "secret")}
"""Settings whose values are never shown."""

ICE_URL = re.compile(r"(stuns?:[^\s?]+|turns?:[^\s?]+(\?transport=(udp|tcp))?)")  # RFC 7064, 7065

Key = tuple[str, ...]
"""Where a setting stands: ("server", "port")."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where to listen, and how to stop; seconds."""

    host: str = "127.0.0.1"
    port: int = 8765
    """0 takes any free port."""
    drain_s: float = 30.0
    """How long answers under way may take when the server goes away."""
    ping_interval_s: float = 20.0
    """Between WebSocket pings; a peer from which nothing comes for as long is dropped."""
    unread_bytes: int = 256 << 20
    """Of messages, whole or not, that all peers together sent and that are not worked off yet."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = False
    tls_certificate: str | None = None
    """A file in PEM: the certificate, and those up to the root behind it."""
    tls_key: str | None = None
    """A file in PEM: the certificate's private key, without a password."""
    tls_by_proxy: bool = False
    """A proxy before this server speaks TLS: that keys come here without it is no cause to warn."""
    strangers: int = 1_024
    """Connections that have shown no key (yet), in all; one more, and the oldest is closed. No
    more than a quarter of the descriptors that the system allows."""
    strangers_per_address: int = 128
    """The same of one address, or one /64 of IPv6. Those of this machine count in all only: every
    peer has such an address when a reverse proxy runs here; for one elsewhere, raise this."""

    def __post_init__(self) -> None:
        """Refuse what cannot be listened on; raise ValueError naming the field."""
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be 0 to 65535, not {self.port!r}")
        if not 0 <= self.drain_s <= 3_600:
            raise ValueError(f"drain_s must be 0 to 3600, not {self.drain_s!r}")
        if not 0 < self.ping_interval_s <= 3_600:
            raise ValueError(f"ping_interval_s must be 0 to 3600, not {self.ping_interval_s!r}")
        for name in ("strangers", "strangers_per_address"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise ValueError(f"{name} must be 1 to 1000000, not {getattr(self, name)!r}")
        if not 1 << 20 <= self.unread_bytes <= 1 << 40:
            raise ValueError(f"unread_bytes must be 1 MiB to 1 TiB, not {self.unread_bytes!r}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; one of them is missing")


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """What a connection may hold, and how long it waits; seconds and bytes."""

    outbox_messages: int = 1_024
    outbox_bytes: int = 2 << 20
    messages_per_minute: int = 120_000
    """A minute's worth may come at once; above, long ones wait, short ones end it; 0: any."""
    frames_per_minute: int = 120_000
    """Of WebSocket, pings and pieces of messages included, if they are short; the same holds."""
    stall_s: float = 60.0
    """A peer that takes nothing of what waits for it for so long, while it sends, is left."""
    idle_s: float = 120.0
    """If nothing comes for so long, the peer is asked whether it is there."""
    idle_grace_s: float = 30.0
    """How long it may take to show that it is."""
    flush_s: float = 5.0
    """How long a connection that ends may take to send what it has for the peer."""
    lifetime_s: float = 3_600.0
    """How long a connection of /v1/realtime may last; its silence is no matter."""

    def __post_init__(self) -> None:
        """Refuse bounds that mean nothing; raise ValueError naming the field."""
        for name, most in (("outbox_messages", 1 << 20), ("outbox_bytes", 1 << 30)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be 1 to {most}, not {getattr(self, name)!r}")
        for name in ("messages_per_minute", "frames_per_minute"):
            if not 0 <= getattr(self, name) <= 1_000_000_000:
                raise ValueError(f"{name} must be 0 to 1000000000, not {getattr(self, name)!r}")
        for name in ("stall_s", "idle_s", "idle_grace_s", "flush_s", "lifetime_s"):
            if not 0 < getattr(self, name) <= 86_400:
                raise ValueError(f"{name} must be above 0, at most 86400")


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """How many peers may be in, and how many conversations are kept for those who left."""

    sessions: int = 200
    parked: int = 1_000
    """Conversations without a connection; the one that was left longest ago goes first."""
    parked_bytes: int = 512 << 20
    """Of audio in those conversations; a full one has about 8 MB."""
    parked_s: float = 600.0
    """Seconds until a conversation without a connection is forgotten."""
    retry_after_s: float = 5.0
    """What a peer that finds no room is told to wait."""

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing; raise ValueError naming the field."""
        if not 1 <= self.sessions <= 100_000:
            raise ValueError(f"sessions must be 1 to 100000, not {self.sessions!r}")
        if not 0 <= self.parked <= 1_000_000:
            raise ValueError(f"parked must be 0 to 1000000, not {self.parked!r}")
        if self.parked_bytes < 0:
            raise ValueError(f"parked_bytes must be 0 or more, not {self.parked_bytes!r}")
        if not 0 <= self.parked_s <= 604_800:
            raise ValueError(f"parked_s must be 0 to 604800 (a week), not {self.parked_s!r}")
        if not 0 < self.retry_after_s <= 3_600:
            raise ValueError(
                f"retry_after_s must be above 0, at most 3600, not {self.retry_after_s!r}"
            )


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Who may come in; without any key everybody on this machine, and nobody else."""

    keys: tuple[str, ...] = field(default=(), repr=False)
    """API keys, each as it is or as `sha256:HEX`."""
    key_file: str | None = None
    """A file of API keys, hashed; `realtime key new FILE` adds one."""
    secret: str = field(default="", repr=False)
    """What short-lived keys are signed with; else each start of the server makes one."""
    origins: tuple[str, ...] = ()
    """Pages of other addresses that may connect, such as https://example.org; * is every one."""

    def __post_init__(self) -> None:
        """Refuse what protects nothing; raise ValueError naming the field and telling no secret."""
        if self.secret and len(self.secret) < 32:
            raise ValueError("secret must have at least 32 characters")
        for origin in self.origins:
            if origin not in ("*", "null") and not ORIGIN.fullmatch(origin):
                raise ValueError(f"origins must be like https://example.org, not {origin!r}")


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What one key may have, all its sessions together; without keys, all peers; 0 is no limit."""

    sessions: int = 0
    """Open at once."""
    sessions_per_minute: int = 0
    """Opened."""
    responses_per_minute: int = 0
    audio_seconds_per_minute: int = 0
    """Of audio received; a microphone sends 60."""
    mints_per_minute: int = 600
    """Short-lived keys (`ek_`) made."""

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing; raise ValueError naming the field."""
        for item in fields(self):
            if not 0 <= getattr(self, item.name) <= 1_000_000_000:
                raise ValueError(f"{item.name} must be 0 to 1000000000")


@dataclass(frozen=True, slots=True)
class WebRtcConfig:
    """Calls over WebRTC: how many, and by which ICE servers; none unless told."""

    peers: int = 100
    opening: int = 32
    """Calls that are not connected yet; each has a place and a port until then. One key may have
    half of them."""
    connect_s: float = 15.0
    """Seconds that a call may take to connect."""
    ice_servers: str = ""
    """Addresses like stun:example.org:3478 or turn:example.org?transport=udp, between spaces."""
    ice_username: str = ""
    ice_credential: str = field(default="", repr=False)
    """Of the TURN servers; peers are told them too."""
    public_address: str = ""
    """The IP address by which peers reach this machine, if it is not one of its own."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; raise ValueError naming the field."""
        for name in ("peers", "opening"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise ValueError(f"{name} must be 1 to 10000, not {getattr(self, name)!r}")
        if not 0 < self.connect_s <= 300:
            raise ValueError(f"connect_s must be above 0, at most 300, not {self.connect_s!r}")
        for url in self.ice_urls:
            if not ICE_URL.fullmatch(url):
                raise ValueError(f"ice_servers must be stun: and turn: addresses, not {url!r}")
        if self.public_address:
            ip_address(self.public_address)  # its ValueError says what is wrong

    @property
    def opening_of_one(self) -> int:
        """Give how many of the calls that are not connected yet may be one key's: half of them."""
        return max(1, self.opening // 2)

    @property
    def ice_urls(self) -> tuple[str, ...]:
        """Give the addresses of the ICE servers."""
        return tuple(self.ice_servers.split())


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; the field names are the sections of the file."""

    server: ServerConfig = field(default_factory=ServerConfig)
    connection: ConnectionConfig = field(default_factory=ConnectionConfig)
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    webrtc: WebRtcConfig = field(default_factory=WebRtcConfig)
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    session: SessionConfig = field(default_factory=SessionConfig)
    worker: WorkerConfig = field(default_factory=lambda: WorkerConfig(str(DEMO_MODEL)))


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave, and where."""

    value: Any
    source: str
    text: bool = False
    """It came as text and may stand for a number."""


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[Key, object] | None = None,
) -> Settings:
    """Compose the settings; options that are None were not given. Raises ConfigError."""
    known = dict(leaves(Settings))
    given: dict[Key, Given] = {("worker", "model"): Given(str(DEMO_MODEL), "the default")}
    if file is not None:
        given |= from_file(file, known)
    given |= from_environment(environment or {}, known)
    for key, value in (options or {}).items():
        if value is not None:
            given[key] = Given(value, f"--{key[-1].replace('_', '-')}", text=True)
    settings: Settings = compose(Settings, given)
    return settings


def environment() -> dict[str, str]:
    """Give our part of the process's environment: the one place that reads it."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and name != CLIENT_KEY
    }


def leaves(kind: type, path: Key = ()) -> Iterator[tuple[Key, Any]]:
    """List every setting below a dataclass with its type."""
    hints = get_type_hints(kind)
    for item in fields(kind):
        here = (*path, item.name)
        if is_dataclass(hints[item.name]):
            yield from leaves(hints[item.name], here)
        else:
            yield here, hints[item.name]


def from_file(file: Path, known: Mapping[Key, Any]) -> dict[Key, Given]:
    """Read a TOML file."""
    try:
        tree = msgspec.toml.decode(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None
    return {key: Given(value, f"in {file}") for key, value in flat(tree, known, file)}


def flat(
    tree: Mapping[str, Any], known: Mapping[Key, Any], file: Path, path: Key = ()
) -> Iterator[tuple[Key, Any]]:
    """List what a file gives; raise ConfigError for a key that does not exist."""
    sections = {key[:size] for key in known for size in range(1, len(key))}
    for name, value in tree.items():
        here = (*path, name)
        if here in known:
            yield here, value
        elif here not in sections:
            raise ConfigError(f"There is no setting {dotted(here)} ({file}); {hint(here, known)}")
        elif not isinstance(value, dict):
            raise ConfigError(f"{dotted(here)} = {value!r} ({file}): it is a table, [{name}].")
        else:
            yield from flat(value, known, file, here)


def from_environment(environment: Mapping[str, str], known: Mapping[Key, Any]) -> dict[Key, Given]:
    """Read REALTIME_SERVER_PORT and the like."""
    names = {PREFIX + "_".join(key).upper(): key for key in known}
    given = {}
    links = service_links(environment)
    for name, value in environment.items():
        if name in links:
            continue
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            known_as = f"did you mean {close[0]}?" if close else f"they are {PREFIX}SECTION_KEY."
            raise ConfigError(f"There is no setting {name} in the environment; {known_as}")
        given[names[name]] = Given(value, name, text=True)
    return given


def hint(key: Key, known: Mapping[Key, Any]) -> str:
    """Suggest what may have been meant: a similar name in the section, or anywhere."""
    siblings = {other[-1]: other for other in known if other[:-1] == key[:-1]}
    anywhere = {other[-1]: other for other in known} | {other[0]: other[:1] for other in known}
    pool = siblings or anywhere
    for name in difflib.get_close_matches(key[-1], pool, n=1):
        return f"did you mean {dotted(pool[name])}?"
    return f"there are {', '.join(siblings or sorted({other[0] for other in known}))}."


def compose(kind: Any, given: Mapping[Key, Given], path: Key = ()) -> Any:
    """Make a dataclass of settings from what was given, and its own defaults."""
    hints = get_type_hints(kind)
    values = {}
    for item in fields(kind):
        here = (*path, item.name)
        if is_dataclass(hints[item.name]):
            values[item.name] = compose(hints[item.name], given, here)
        elif here in given:
            values[item.name] = convert(here, given[here], hints[item.name])
    try:
        return kind(**values)
    except ValueError as error:
        sources = sorted({given[key].source for key in given if key[:-1] == path})
        raise ConfigError(f"[{dotted(path)}] {error} ({', '.join(sources)}).") from None


def convert(key: Key, given: Given, kind: Any) -> Any:
    """Give the value its type, or say what is allowed."""
    value = given.value
    if isinstance(value, str) and not is_utf8(value):
        raise ConfigError(f"{dotted(key)} ({given.source}) is not text in UTF-8.")
    if get_origin(kind) is tuple and isinstance(value, str):
        value = value.replace(",", " ").split()
    try:
        return msgspec.convert(value, kind, strict=not given.text)
    except msgspec.ValidationError:
        allowed = words(kind)
        shown = "..." if key in SECRET else repr(given.value)
        raise ConfigError(
            f"{dotted(key)} = {shown} ({given.source}): it must be {allowed}."
        ) from None


def is_utf8(text: str) -> bool:
    """Tell whether a text can be written; arguments and the environment may hold any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def words(kind: Any) -> str:
    """Describe a type to a person."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if get_origin(kind) is tuple:
        return "a list of texts, or one text with spaces between them"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) in (types.UnionType, Union):
        return " or ".join(words(part) for part in get_args(kind) if part is not type(None))
    return names.get(kind, str(kind))


def dotted(key: Key) -> str:
    """Write a key as TOML does."""
    return ".".join(key)
