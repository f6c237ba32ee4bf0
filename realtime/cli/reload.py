"""Other settings on a server that runs: what can change does at once, the rest is named.

Settings hold for what begins from then on: connections, sessions, calls. All of a change happens,
or, when anything about it cannot be used, nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import structlog

from realtime import log as logs
from realtime.config import Key, Settings, dotted, leaves
from realtime.errors import ConfigError
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.server import Server
from realtime.gateway.http.tls import tls_context

FIXED = {("server", "host"), ("server", "port"), ("auth", "secret")}
TLS = {("server", "tls_certificate"), ("server", "tls_key")}
LOG = {("server", "log_level"), ("server", "log_json")}
KEYS = {("auth", "keys"), ("auth", "key_file")}

log = structlog.get_logger()


def reload(
    server: Server, gateway: Gateway, old: Settings, reread: Callable[[], Settings]
) -> Settings:
    """Read the settings and the certificate again; give those that hold from now on.

    Where they cannot be used nothing changes.
    """
    try:
        new = reread()
        changed = differences(old, new)
        waiting = changed & fixed(old, new)
        held: Settings = merged(old, new, waiting)
        change(server, gateway, held)
    except ConfigError as error:
        log.error("the settings stay as they were", reason=str(error))
        return old
    log.info("settings read again", changed=names(changed - waiting))
    if waiting:
        log.warning("these settings need a restart", settings=names(waiting))
    if changed & LOG:
        logs.configure(level=held.server.log_level, json=held.server.log_json)
    return held


def change(server: Server, gateway: Gateway, settings: Settings) -> None:
    """Let settings hold; raise ConfigError before anything changed."""
    tls = tls_context(settings.server)
    gateway.reload(settings)
    server.change(settings.server, tls)


def differences(old: Settings, new: Settings) -> set[Key]:
    """Tell which settings differ."""
    return {key for key, _ in leaves(Settings) if value(old, key) != value(new, key)}


def fixed(old: Settings, new: Settings) -> set[Key]:
    """Tell which settings cannot change from these to those while a server runs.

    What is bound and what is loaded stays, and so does what peers rely on: whether there is TLS,
    whether a key is needed, and what short-lived keys are signed with.
    """
    found = FIXED | {key for key, _ in leaves(Settings) if key[0] == "worker"}
    if (old.server.tls_certificate is None) != (new.server.tls_certificate is None):
        found |= TLS
    if keyed(old) != keyed(new):
        found |= KEYS
    return found


def keyed(settings: Settings) -> bool:
    """Tell whether peers need a key."""
    return bool(settings.auth.keys or settings.auth.key_file)


def merged(old: Any, new: Any, kept: set[Key], path: Key = ()) -> Any:
    """Give the new settings, but of the old ones what is kept."""
    values = {}
    for item in fields(new):
        here = (*path, item.name)
        before, after = getattr(old, item.name), getattr(new, item.name)
        if is_dataclass(after):
            values[item.name] = merged(before, after, kept, here)
        elif here in kept:
            values[item.name] = before
    return replace(new, **values)


def value(settings: Any, key: Key) -> Any:
    """Give one setting."""
    for name in key:
        settings = getattr(settings, name)
    return settings


def names(keys: set[Key]) -> list[str]:
    """Name settings as their file does."""
    return sorted(map(dotted, keys))
