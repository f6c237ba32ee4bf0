"""The environment of a worker: what of ours it is given, and what it tells torch there itself.

It is given everything but secrets that it has no use for.

The worker runs a model's libraries and reads what comes from a hub; of the server's keys, and of
those for other services that happen to be there, it needs to know nothing. Names tell: a list of
what libraries do need (CUDA's, OpenMP's, a cluster's) would never be complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping

OURS = "REALTIME_"
"""Our settings; the worker has its own as options."""
HUB = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_")
"""The hub's, its token and its cache among them: the worker loads from there."""
SECRET = re.compile(
    r"(KEY|TOKEN)S?(_|$)|(^|_)(PASS|PAT|DSN|COOKIE|AUTH|CREDS?|PRIVATE)(_|$)"
    r"|_PWD$|SECRET|PASSW|CREDENTIAL"
)
PASSWORD = re.compile(r"[a-z][a-z0-9+.\-]*://[^/\s@]*:[^/\s@]+@", re.IGNORECASE)
"""In an address (RFC 3986 3.2.1), such as a database's."""

ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
"""How torch takes a GPU's memory; whoever sets one of these knows what they want."""


def environment_of_worker(ours: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that a worker may have."""
    return {name: value for name, value in ours.items() if may_have(name.upper(), value)}


def may_have(name: str, value: str) -> bool:
    """Tell whether a worker may have a variable, by its name in capitals and its value."""
    if name.startswith(HUB) or name.endswith("_PROXY"):
        return True  # the way to the hub, too
    return not (name.startswith(OURS) or SECRET.search(name) or PASSWORD.search(value))


def grow_in_place(environment: MutableMapping[str, str]) -> None:
    """Have torch's blocks of GPU memory grow where they are; read when CUDA is first used.

    Every prompt and every batch has a size of its own here; blocks of fixed sizes would be left in
    pieces that fit none of the next.
    """
    if not any(name in environment for name in ALLOCATOR):
        environment["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
