"""Write docs/settings.md from the settings themselves: section, key, default, meaning.

    python scripts/settings_page.py

The meaning is the docstring under each field; a test holds the page against the code.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path
from typing import Any

from realtime.config import DEMO_MODEL, Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings

`realtime serve --config FILE` reads them from TOML; each can also come from the environment as
`REALTIME_SECTION_KEY` (`REALTIME_SESSION_SAMPLING_TEMPERATURE` for `sampling.temperature`), and
some from options, which win. What Kubernetes puts there for a service called `realtime...` is
ignored. Written by `scripts/settings_page.py`.
"""
SECRET = "(a secret)"


def meanings(kind: type) -> dict[str, str]:
    """Give the docstrings under the fields of a class, as one line each."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id)), ast.Expr(ast.Constant(str(said))):
                found[id] = " ".join(said.split())
    return found


def shown(value: Any, field: dataclasses.Field[Any]) -> str:
    """Write a default."""
    if not field.repr:
        return "none " + SECRET
    if value == str(DEMO_MODEL):
        return "the bundled checkpoint"
    if value in (None, "", ()):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def rows(settings: Any, before: str = "") -> list[str]:
    """Give the rows of one section."""
    said = meanings(type(settings))
    made = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            made += rows(value, f"{before}{field.name}.")
            continue
        meaning = said.get(field.name, "").replace("|", "\\|")
        made.append(f"| `{before}{field.name}` | {shown(value, field)} | {meaning} |")
    return made


def page() -> str:
    """Write the page."""
    settings = Settings()
    parts = [HEAD]
    for section in dataclasses.fields(settings):
        value = getattr(settings, section.name)
        about = (inspect.getdoc(type(value)) or "").split("\n\n")[0]
        head = ["| key | default | |", "|---|---|---|"]
        parts += [f"## [{section.name}]\n", f"{about}\n", "\n".join([*head, *rows(value)]) + "\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
