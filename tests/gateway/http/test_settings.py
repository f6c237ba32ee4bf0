"""What the server can listen on and what not."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from realtime.gateway.http.settings import ServerConfig

NUMBERS = [field.name for field in fields(ServerConfig) if field.type in ("int", "float")]


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_that_means_nothing_gets_in(name):
    wrong = -1 if type(getattr(ServerConfig(), name)) is int else -1.0
    with pytest.raises(ValueError, match=name):
        ServerConfig(**{name: wrong})


@pytest.mark.parametrize("name", [f.name for f in fields(ServerConfig) if f.type == "float"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_gets_in_nowhere(name, wrong):
    with pytest.raises(ValueError, match=name):
        ServerConfig(**{name: wrong})


@pytest.mark.parametrize("port", [0, 65_535])
def test_any_port_can_be_had(port):
    assert ServerConfig(port=port).port == port


def test_no_port_is_larger():
    with pytest.raises(ValueError, match="port must be 0 to 65535, not 65536"):
        ServerConfig(port=65_536)


@pytest.mark.parametrize("half", [{"tls_certificate": "a.pem"}, {"tls_key": "a.key"}])
def test_a_certificate_and_its_key_belong_together(half):
    with pytest.raises(ValueError, match="belong together"):
        ServerConfig(**half)
    assert ServerConfig(tls_certificate="a.pem", tls_key="a.key").tls_key == "a.key"


@pytest.mark.parametrize("size", [1 << 20, 1 << 40])
def test_a_server_keeps_between_a_megabyte_and_a_terabyte(size):
    assert ServerConfig(unread_bytes=size).unread_bytes == size
    outside = size - 1 if size == 1 << 20 else size + 1
    with pytest.raises(ValueError, match="unread_bytes must be 1 MiB to 1 TiB"):
        ServerConfig(unread_bytes=outside)
