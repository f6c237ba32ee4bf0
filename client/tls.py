"""TLS as a client meets it: whom it trusts, and what a handshake that fails means."""

from __future__ import annotations

import ssl

from client.errors import ServerUnreachable, Untrusted

STRANGERS = (18, 19, 20, 21)
"""X509_V_ERR_* of OpenSSL's x509_vfy.h: nobody whom we trust signed it. The others (a wrong name,
a date) are wrong for everybody."""


def trust(ca: str | None) -> ssl.SSLContext:
    """Trust whom this machine trusts, and the certificates in the file `ca` (PEM)."""
    context = ssl.create_default_context()
    if ca is None:
        return context
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError:
        raise ValueError(f"{ca} holds no certificate in PEM") from None
    except OSError as error:
        raise ValueError(f"{ca} cannot be read: {error.strerror}") from None
    # Python 3.13 refuses what `openssl req -x509` makes; whoever gives a file means it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def failure(place: str, error: OSError) -> ServerUnreachable:
    """Say what a TLS handshake failed of, and what the address would be without TLS."""
    match error:
        case ssl.SSLCertVerificationError(verify_code=code) if code in STRANGERS:
            return Untrusted(f"{place} has a certificate not trusted here: {error.verify_message}")
        case ssl.SSLCertVerificationError():
            return ServerUnreachable(f"{place} has a wrong certificate: {error.verify_message}")
        case ssl.SSLError(reason=str(word)):
            reason = word.replace("_", " ").lower()
        case _:
            reason = error.strerror or str(error)
    plain = place.replace("wss:", "ws:", 1)
    return ServerUnreachable(
        f"{place} gave no TLS ({reason}); if it has none, its address is {plain}"
    )
