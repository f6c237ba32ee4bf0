"""Recordings from the web: bounded in size, in time and in where they may lead."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from realtime.cli.shared.download import check, download, is_url
from realtime.errors import AudioError

RECORDING = b"RIFF" + bytes(200_000)


class Web(BaseHTTPRequestHandler):
    """A small web server with everything that goes wrong on the web."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match self.path.split("?")[0]:
            case "/good.wav" | "/gr%C3%BC%C3%9Fe%20.wav":
                self.give(RECORDING)
            case "/moved":
                self.lead("/good.wav")
            case "/round":
                self.lead("/round")
            case "/to-file":
                self.lead("file:///etc/passwd")
            case "/to-ftp":
                self.lead("ftp://127.0.0.1/a.wav")
            case "/unannounced":
                self.give(RECORDING, {"Connection": "close"})
            case "/broken":
                self.give(RECORDING, {"Content-Length": "300000", "Connection": "close"})
            case "/huge":
                self.give(b"", {"Content-Length": "60000000", "Connection": "close"})
            case "/odd-length":
                self.give(RECORDING, {"Content-Length": "many", "Connection": "close"})
            case "/stuck":
                self.server.held.wait(10)
            case "/trickle":
                self.trickle(b"HTTP/1.1 200 OK\r\nx-long: ")
            case "/trickle-body":
                self.trickle(b"HTTP/1.1 200 OK\r\n\r\n")
            case "/empty":
                self.give(b"")
            case "/no-http":
                self.wfile.write(b"hello\r\n\r\n")
                self.close_connection = True
            case _:
                self.send_error(404)

    def give(self, body, headers=None):
        self.send_response(200)
        for name, value in (headers or {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self, begin):
        """Begin an answer and never come to its end."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(begin)
            while not self.server.held.wait(0.02):
                self.wfile.write(b"a")

    def lead(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.held = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.held.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def web():
    with serving() as url:
        yield url


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("path", ["/good.wav", "/moved", "/unannounced", "/odd-length"])
def test_a_recording_is_fetched(web, path):
    assert download(web + path) == RECORDING


def test_an_address_may_hold_any_letters(web):
    assert download(f"{web}/grüße .wav?key=ß#part") == RECORDING


def test_nothing_is_fetched_as_nothing(web):
    assert download(f"{web}/empty") == b""


def test_progress_is_told(web):
    told = []
    download(f"{web}/good.wav", progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (len(RECORDING), len(RECORDING))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/missing", "HTTP 404, Not Found"),
        ("/round", "redirect"),
        ("/to-file", "'file:///etc/passwd' is not allowed"),
        ("/to-ftp", "'ftp://127.0.0.1/a.wav' is no http"),
        ("/huge", "is 60 MB; at most 50 MB are fetched"),
        ("/broken", "broke off after 200004 of 300000 bytes|IncompleteRead"),
        ("/no-http", "cannot be read"),
    ],
)
def test_what_goes_wrong_is_said(web, path, text):
    with pytest.raises(AudioError, match=text):
        download(web + path)


def test_a_recording_that_is_larger_than_announced_is_stopped(web):
    with pytest.raises(AudioError, match=r"is more than 0\.1 MB"):
        download(f"{web}/unannounced", max_bytes=100_000)


def test_a_server_that_does_not_answer_is_given_up(web):
    with pytest.raises(AudioError, match=r"sent nothing for 0\.05 s"):
        download(f"{web}/stuck", pause_s=0.05)


def test_a_server_that_takes_for_ever_is_given_up(web):
    seconds = iter(range(0, 1000, 50))
    with pytest.raises(AudioError, match="within 120 s"):
        download(f"{web}/good.wav", clock=lambda: float(next(seconds)))


@pytest.mark.parametrize("path", ["/trickle", "/trickle-body"])
def test_a_server_that_trickles_is_given_up(web, path):
    with pytest.raises(AudioError, match=r"did not arrive within 0\.3 s"):
        download(web + path, total_s=0.3)


def test_addresses_that_do_not_answer_share_one_time(monkeypatch):
    seconds = iter(range(0, 1000, 7))
    tried = []

    class Silent(socket.socket):
        def connect(self, address):
            tried.append((address, self.gettimeout()))
            raise TimeoutError

    places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (f"192.0.2.{n}", 80)) for n in range(99)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    monkeypatch.setattr(socket, "socket", Silent)
    with pytest.raises(AudioError, match="did not arrive within 30 s"):
        download("http://many.example/", total_s=30, clock=lambda: float(next(seconds)))
    assert [timeout for _, timeout in tried] == [15, 15, 9, 2]


def test_the_first_address_that_answers_is_taken(web, monkeypatch):
    port = int(web.rpartition(":")[2])
    kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    places = [(*kind, ("127.0.0.1", 1)), (*kind, ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    assert download("http://two.example/good.wav") == RECORDING


def test_nothing_listening_is_said(unused_tcp_port):
    with pytest.raises(AudioError, match="cannot be reached: Connection refused"):
        download(f"http://127.0.0.1:{unused_tcp_port}/a.wav")


@pytest.mark.parametrize(
    "url",
    ["http://", "http://[::1", "http://a:99999/", "ftp://a/b", "a.wav", "http://a/\udcff"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(AudioError, match="is no http"):
        download(url)


def test_addresses_keep_their_shape():
    assert check("https://[::1]:80/a%20b?c=d&e=%C3%9F") == "https://[::1]:80/a%20b?c=d&e=%C3%9F"
    assert check("http://müller.example/ü") == "http://xn--mller-kva.example/%C3%BC"


def test_addresses_and_paths_are_told_apart():
    assert is_url("HTTPS://a/b.wav")
    assert not is_url("httpd/b.wav")
