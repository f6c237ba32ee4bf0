"""Settings: read from a TOML file, the environment and the command line, composed once.

Later sources win: defaults, FILE, REALTIME_SECTION_KEY, options. What a section may say stands
beside the code that it sets, and every component gets its own frozen part. Whatever is wrong is
one ConfigError that names the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from realtime.engine.worker.config import WorkerConfig
from realtime.errors import ConfigError
from realtime.gateway.settings import GatewaySettings
from realtime.service_links import service_links

DEMO_MODEL = Path(__file__).parent / "demo_model"
PREFIX = "REALTIME_"
CLIENT_KEY = "REALTIME_KEY"
"""In the environment, what `realtime ask` shows a server; no setting."""
SECRET = {("auth", "keys"), ("auth", "secret")}
"""Settings whose values are never shown."""

Key = tuple[str, ...]
"""Where a setting stands: ("server", "port")."""


@dataclass(frozen=True, slots=True)
class Settings(GatewaySettings):
    """All settings; the field names are the sections of the file."""

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
