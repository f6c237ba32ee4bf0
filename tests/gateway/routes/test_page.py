"""The page is served from the package, under a strict policy, and nothing else is."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from realtime.gateway.routes.page import TYPES, page_files, page_routes


@pytest.fixture
def client():
    return TestClient(Starlette(routes=page_routes()))


def test_the_page_is_html_under_a_policy(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "microphone=(self)" in page.headers["permissions-policy"]


def test_every_file_that_the_page_names_is_served_with_its_type(client):
    named = set(re.findall(r'(?:src|href)="(web/[^"]+)"', client.get("/").text))
    for name in page_files():
        for module in re.findall(r'from "\./([^"]+)"', page_files()[name].content.decode()):
            named.add(f"web/{module}")
    assert {"web/app.js", "web/style.css", "web/conversation.js"} <= named
    for path in named:
        answer = client.get("/" + path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == TYPES[path.rpartition(".")[2]]


def test_nothing_is_inline_or_from_elsewhere(client):
    html = client.get("/").text
    assert not re.search(r"<style|<script(?![^>]*src)|\sstyle=|\son\w+=|https?://", html)
    for file in page_files().values():
        assert not re.search(rb"""(?:import|fetch|url)\s*\(?["']https?:""", file.content)


def test_a_file_that_is_known_is_not_sent_again(client):
    first = client.get("/web/app.js")
    tag = first.headers["etag"]
    again = client.get("/web/app.js", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert client.get("/web/app.js", headers={"If-None-Match": '"old"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web/nothing.js",
        "/web/../__init__.py",
        "/web/..%2f__init__.py",
        "/web/%2e%2e/__init__.py",
        "/web//etc/passwd",
        "/web/..%5c__init__.py",
        "/web/app.js%00",
    ],
)
def test_no_path_leads_out(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert b"import" not in answer.content


def test_the_files_are_package_data():
    assert (resources.files("client") / "web" / "index.html").is_file()
