"""README and docs point at what is there, and print commands that exist."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from realtime.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
NAMED = re.compile(r"`((?:realtime|client|scripts|tests|docs)/[\w./-]+)")
FUNCTION = re.compile(r"`(realtime/[\w/]+\.py)` `([\w.]+)`")
COMMAND = re.compile(r"^\$ (?:[A-Z_]+=\S+ )*realtime ((?:.*\\\n)*.*)$", re.MULTILINE)


def of_page(page):
    return str(page.relative_to(ROOT))


def anchors(page):
    """Give what GitHub calls the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_links_lead_somewhere(page):
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_files_that_are_named_exist(page):
    for name in NAMED.findall(page.read_text()):
        assert (ROOT / name.rstrip(".")).exists(), name


def names_in(path):
    """Give the classes, functions and methods of a module."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
            if isinstance(node, ast.ClassDef):
                yield from (f"{node.name}.{part.name}" for part in node.body if is_function(part))


def is_function(node):
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_functions_that_are_named_beside_their_file_are_in_it(page):
    for file, name in FUNCTION.findall(page.read_text()):
        assert name in set(names_in(ROOT / file)), f"{file} {name}"


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_commands_and_their_options_exist(page):
    for line in COMMAND.findall(page.read_text()):
        words = shlex.split(line, comments=True)
        command = get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {name for option in command.params for name in option.opts + option.secondary_opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_every_page_can_be_found_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        paths = [(page.parent / path).resolve() for path, _ in LINK.findall(page.read_text())]
        waiting += [path for path in paths if path.suffix == ".md" and path not in seen]
    assert set(PAGES) <= seen


def test_the_whole_client_in_the_docs_is_the_example():
    example = (ROOT / "client" / "examples" / "pcm_minimal.py").read_text()
    program = example.split('"""\n', 1)[1].strip()
    assert program in (ROOT / "docs" / "pcm.md").read_text()
