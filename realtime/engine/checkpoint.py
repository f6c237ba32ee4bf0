"""Is there a Qwen2-Audio checkpoint under this name? Told at once, before anything heavy loads."""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.errors import ModelError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
ARCHITECTURE = "qwen2_audio"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint is."""

    name: str
    """As the user named it."""
    path: str
    """A folder, or a hub id."""
    local: bool

    @property
    def options(self) -> dict[str, Any]:
        """Give what `from_pretrained` needs besides: a folder never asks the network."""
        return {"local_files_only": True} if self.local else {}


def locate(name: str) -> Source:
    """Tell folder from hub id; raise ModelError for what is no checkpoint of this model."""
    refuse_tied_head(importlib.metadata.version("transformers"))
    path = Path(name).expanduser()
    if path.is_dir():
        refuse_other(name, config_of(name, path))
        return Source(name, str(path), local=True)
    if path.exists():
        raise ModelError(f"{name} is a file; a model is a folder with config.json and weights")
    if not HUB_ID.fullmatch(name) or name.startswith("."):
        raise ModelError(f"there is no folder {name}")
    return Source(name, name, local=False)


def config_of(name: str, path: Path) -> Any:
    """Read a checkpoint's config.json."""
    file = path / "config.json"
    if not file.is_file():
        raise ModelError(f"{name} is no model: it has no config.json")
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{name} cannot be loaded: its config.json is broken: {error}") from error


def refuse_other(name: str, config: Any) -> None:
    """Refuse the checkpoint of another model, and say which it is."""
    if not isinstance(config, dict):
        raise ModelError(f"{name} cannot be loaded: its config.json holds no settings")
    found = config.get("model_type")
    if found != ARCHITECTURE:
        known = ", ".join(config.get("architectures") or ()) or "unknown architecture"
        raise ModelError(f"{name} holds a {found} model ({known}); only Qwen2-Audio can be served")


def refuse_tied_head(version: str) -> None:
    """Refuse the versions of transformers that ruin this model."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if (5, 10, 0) <= numbers <= (5, 10, 3):
        raise ModelError(
            f"transformers {version} ties lm_head to the embeddings, and Qwen2-Audio then says "
            "only audio tags: install 5.11 or later"
        )
