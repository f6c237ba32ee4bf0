"""Kubernetes' service links: ignored, and nothing else is."""

from __future__ import annotations

import pytest

from realtime import config
from realtime.errors import ConfigError
from realtime.service_links import service_links


def links(service: str) -> dict[str, str]:
    """Give what Kubernetes says of a service with a named port (docs, "Accessing the Service")."""
    return {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": "8765",
        f"{service}_SERVICE_PORT_WEB": "8765",
        f"{service}_PORT": "tcp://10.0.0.1:8765",
        f"{service}_PORT_8765_TCP": "tcp://10.0.0.1:8765",
        f"{service}_PORT_8765_TCP_PROTO": "tcp",
        f"{service}_PORT_8765_TCP_PORT": "8765",
        f"{service}_PORT_8765_TCP_ADDR": "10.0.0.1",
    }


@pytest.mark.parametrize("service", ["REALTIME", "REALTIME_SERVER", "REALTIME_VOICE_2"])
def test_a_service_named_as_we_are_changes_nothing(service):
    assert service_links(links(service)) == set(links(service))
    given = {**links(service), "REALTIME_SERVER_HOST": "::1"}
    assert config.load(environment=given) == config.load(
        environment={"REALTIME_SERVER_HOST": "::1"}
    )


def test_a_port_that_is_given_beside_the_links_of_a_service_holds():
    given = {**links("REALTIME_SERVER"), **links("REALTIME"), "REALTIME_SERVER_PORT": "9000"}
    assert config.load(environment=given).server.port == 9000


@pytest.mark.parametrize(
    "name",
    [
        "REALTIME_PORT",
        "REALTIME_SERVICE_HOST",
        "REALTIME_SERVICE_PORT",
        "REALTIME_PORT_8765_TCP_ADDR",
        "REALTIME_SERVER_PROT",
    ],
)
def test_a_mistake_is_told_as_ever(name):
    for beside in ({}, links("REALTIME_VOICE")):
        with pytest.raises(ConfigError, match=f"no setting {name}"):
            config.load(environment={**beside, name: "8765"})
    assert service_links({name: "8765"}) == set()
