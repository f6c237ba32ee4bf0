"""Kubernetes' service links: what it puts into every container's environment for each service.

A service that is called realtime, or realtime-server, gives names that look like our settings;
REALTIME_SERVER_PORT even is one. They are told by their values, which no setting has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACE = re.compile(r"(tcp|udp|sctp)://.+")
PORT = re.compile(r"(.*_)?PORT(_\d+_(TCP|UDP|SCTP))?")
"""Names whose values are such places, behind that of the service."""
FIELD = re.compile(
    r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)


def service_links(environment: Mapping[str, str]) -> frozenset[str]:
    """Give the names of those variables that are service links."""
    found = {
        name: match[1] or ""
        for name, value in environment.items()
        if (match := PORT.fullmatch(name)) and PLACE.fullmatch(value)
    }
    services = set(found.values())
    return frozenset(found) | {
        name
        for name in environment
        for service in services
        # The setting of that name may be given all the same; then it has no such value.
        if name != f"{service}PORT"
        and name.startswith(service)
        and FIELD.fullmatch(name.removeprefix(service))
    }
