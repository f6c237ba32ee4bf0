"""The page at `/`: the files of client/web, read once, served from memory under a strict policy.

Only the names that were found at the start can be asked for, so no path leads anywhere else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

INDEX = "index.html"
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = {
    # Nothing from anywhere else, nothing inline; the microphone for this page alone.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Kept, but asked about each time: a new server has its own page at once.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    type: str
    tag: str
    """ETag (RFC 9110 8.8.3)."""

    @classmethod
    def read(cls, file: Traversable) -> PageFile:
        """Read a file and name its content."""
        content = file.read_bytes()
        kind = TYPES[file.name.rpartition(".")[2]]
        return cls(content, kind, f'"{hashlib.sha256(content).hexdigest()[:20]}"')

    def answer(self, request: Request) -> Response:
        """Send the file, or 304 to who has it already."""
        headers = {**POLICY, "ETag": self.tag}
        known = request.headers.get("if-none-match", "")
        if self.tag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers={**headers, "Content-Type": self.type})


def page_files() -> dict[str, PageFile]:
    """Read all files of the page."""
    folder = resources.files("client") / "web"
    suffixes = tuple(TYPES)
    return {f.name: PageFile.read(f) for f in folder.iterdir() if f.name.endswith(suffixes)}


def page_routes() -> list[Route]:
    """Make the routes of the page: `/`, and its parts under `/web/`."""
    files = page_files()

    async def index(request: Request) -> Response:
        return files[INDEX].answer(request)

    async def part(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("There is no such file.\n", 404, POLICY)
        return file.answer(request)

    return [Route("/", index), Route("/web/{name}", part)]
