"""API keys: making, reading, finding. What is kept of a key is its hash; no text here tells one.

The hash is sha256 and not scrypt or the like: those make *guessing* dear, which passwords need.
Our keys have 256 random bits, nobody guesses those, and every handshake would pay the price.
Keys that the operator brings are held to a length that makes guessing hopeless, too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from realtime.errors import ConfigError
from realtime.gateway.access.settings import AuthConfig

SHORTEST = 20  # characters of a key that was not made here
HASHED = re.compile(r"sha256:([0-9a-f]{64})(?:\s+(.*))?")
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 5.6.2: what may stand in a list of subprotocols, which is where browsers put a key."""

KEYLESS = ""
"""Stands for the id of a key where none is needed: nobody is told apart."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What we keep of a key."""

    digest: bytes
    name: str = ""

    @property
    def id(self) -> str:
        """Name the key without telling it."""
        return self.digest.hex()[:16]


def new_key() -> str:
    """Make a key of 256 random bits."""
    return "sk-" + secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    """Give what is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def given_key(text: str) -> ApiKey:
    """Read a key from the settings, as it is or hashed; raise ConfigError that does not tell it."""
    if text.startswith("sha256:"):
        if (hashed := HASHED.fullmatch(text)) is None:
            raise ConfigError("A key in auth.keys is sha256: but not 64 hexadecimal digits.")
        return ApiKey(bytes.fromhex(hashed[1]))
    if len(text) < SHORTEST or not TOKEN.fullmatch(text):
        raise ConfigError(
            f"A key in auth.keys cannot be used: it needs {SHORTEST} or more letters and digits; "
            "`realtime key new FILE` makes good ones."
        )
    return ApiKey(digest_of(text))


def read_keys(file: Path) -> tuple[ApiKey, ...]:
    """Read a file of hashed keys, `sha256:HEX NAME` per line; raise ConfigError naming the line."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError as error:
        hint = f"`realtime key new {file}` makes it"
        raise ConfigError(f"{file} cannot be read: {error.strerror}; {hint}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not a file of keys: it is not text.") from None
    found = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if (hashed := HASHED.fullmatch(line)) is None:
            raise ConfigError(
                f"{file}, line {number}: a line is sha256: and 64 hexadecimal digits, then a name; "
                f"`realtime key new {file}` adds one."
            )
        found.append(ApiKey(bytes.fromhex(hashed[1]), hashed[2] or ""))
    return tuple(found)


def add_key(file: Path, key: str, name: str = "") -> None:
    """Append a key's hash to a file, which is made for its owner alone; raise ConfigError."""
    line = f"sha256:{digest_of(key).hex()} {' '.join(name.split())}".rstrip()
    try:
        if file.exists():
            read_keys(file)  # never append to what is something else
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(os.open(file, flags, 0o600), "a", encoding="utf-8") as output:
            output.write(("" if ends_its_line(file) else "\n") + line + "\n")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from None


def ends_its_line(file: Path) -> bool:
    """Tell whether a file is empty or ends with a line's end."""
    return file.read_bytes()[-1:] in (b"", b"\n")


class Keyring:
    """The keys that open this server; a file of them is read again when it changes."""

    def __init__(self, config: AuthConfig) -> None:
        self.given = tuple(map(given_key, config.keys))
        self.file = Path(config.key_file).expanduser() if config.key_file else None
        self.required = bool(self.given or self.file)
        """Stays as it was at the start: a file that is emptied opens nothing."""
        self.seen = self.stamp()
        self.from_file = read_keys(self.file) if self.file else ()
        if self.required and not self.keys:
            raise ConfigError(f"There is no key in {self.file}; `realtime key new {self.file}`.")

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """Give all keys."""
        return self.given + self.from_file

    def find(self, key: str) -> ApiKey | None:
        """Find a key, in a time that does not depend on which it is or whether it is here."""
        self.refresh()
        return matching(self.keys, digest_of(key))

    def ids(self) -> set[str]:
        """Give the ids of all keys that are here now."""
        self.refresh()
        return {key.id for key in self.keys}

    def refresh(self) -> None:
        """Read the file again if it changed; one that cannot be read changes nothing."""
        if self.file is None or (stamp := self.stamp()) == self.seen:
            return
        self.seen = stamp
        try:
            self.from_file = read_keys(self.file)
        except ConfigError as error:
            log.error("the keys stay as they were", reason=str(error))
        else:
            log.info("keys read again", file=str(self.file), keys=len(self.from_file))

    def stamp(self) -> tuple[int, int, int] | None:
        """Tell versions of the file apart."""
        try:
            status = self.file.stat() if self.file else None
        except OSError:
            return None
        return status and (status.st_mtime_ns, status.st_size, status.st_ino)

    def describe(self) -> str:
        """Say in a few words who may come in."""
        if not self.required:
            return "none: only this machine may come in"
        sources = [f"{len(self.given)} of the settings"] if self.given else []
        if self.file:
            sources.append(f"{len(self.from_file)} in {self.file}")
        return ", ".join(sources)


def matching(keys: Iterable[ApiKey], digest: bytes) -> ApiKey | None:
    """Give the key with this digest; every one is compared, each in constant time."""
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found
