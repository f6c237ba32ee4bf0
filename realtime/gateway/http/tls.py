"""TLS: the certificate and its key, read so that whatever is wrong with them is said."""

from __future__ import annotations

import ssl
from typing import NoReturn

from realtime.errors import ConfigError
from realtime.gateway.http.settings import ServerConfig


def tls_context(config: ServerConfig) -> ssl.SSLContext | None:
    """Read the certificate, if there is one; raise ConfigError when it cannot be used."""
    if config.tls_certificate is None or config.tls_key is None:
        return None

    def ask() -> NoReturn:
        # Left alone, OpenSSL would ask on the terminal, when nobody may be there.
        raise ConfigError(f"The key {config.tls_key} has a password: give one without.")

    files = f"the certificate {config.tls_certificate} and its key {config.tls_key}"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.tls_certificate, config.tls_key, ask)
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").replace("_", " ").lower()
        raise ConfigError(f"TLS cannot use {files}: {reason}.") from None
    except OSError as error:
        raise ConfigError(f"TLS cannot read {files}: {error.strerror}.") from None
    return context
