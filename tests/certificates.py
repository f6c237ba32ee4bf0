"""Certificates for the tests of TLS: self-signed, as one makes them at home."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from realtime.gateway.http.settings import ServerConfig

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


def make(folder: Path) -> None:
    """Make certificates for 127.0.0.1, their keys, one with a password, and what is none."""
    plain = serialization.NoEncryption()
    for prefix in ("renewed-", ""):
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{prefix}cert.pem").write_bytes(certificate_of(key).public_bytes(PEM))
        (folder / f"{prefix}key.pem").write_bytes(key.private_bytes(PEM, PKCS8, plain))
    locked = serialization.BestAvailableEncryption(b"password")
    (folder / "locked.pem").write_bytes(key.private_bytes(PEM, PKCS8, locked))
    other = ec.generate_private_key(ec.SECP256R1())
    (folder / "other.pem").write_bytes(other.private_bytes(PEM, PKCS8, plain))
    (folder / "nonsense.pem").write_text("nonsense")


def self_signed(folder: Path, host: str = "127.0.0.1") -> tuple[str, ssl.SSLContext]:
    """Make cert.pem and key.pem for an address; give the first, and a server's side that has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate_of(key, host).public_bytes(PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, plain))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return str(folder / "cert.pem"), server


def certificate_of(key: ec.EllipticCurvePrivateKey, host: str = "127.0.0.1") -> x509.Certificate:
    """Make a certificate for an address."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "realtime")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False
        )
        .sign(key, hashes.SHA256())
    )


def config(folder: Path, certificate: str = "cert.pem", key: str = "key.pem") -> ServerConfig:
    return ServerConfig(tls_certificate=str(folder / certificate), tls_key=str(folder / key))
