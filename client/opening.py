"""How a connection to a server begins, and every way in which it does not, in words."""

from __future__ import annotations

import ssl
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.http11 import Response

from client.errors import (
    BadServerMessage,
    ConnectionLost,
    Refused,
    ServerBusy,
    ServerUnreachable,
)
from client.events import Error, Ready, decode
from client.tls import failure, trust

MAX_MESSAGE = 1024 * 1024  # bytes that one message of the server may have
QUEUE = 64  # unread messages kept before reading from the socket stops
PATH = "/v1/pcm"
OPENAI = "/v1/realtime"


def address(url: str, options: dict[str, str]) -> str:
    """Complete an address: ws for http, `/v1/pcm` for no path, the options as its query."""
    parts = urlsplit(url.strip())
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"{url!r} is no WebSocket address such as ws://127.0.0.1:8765")
    if not 0 < (parts.port or 1) < 65536:  # .port itself raises ValueError above 65535
        raise ValueError(f"{url!r} has no port that exists")
    path = parts.path if parts.path.strip("/") else PATH
    if path.rstrip("/").endswith(OPENAI):
        raise ValueError(f"{OPENAI} is OpenAI's protocol; plain PCM is at {PATH}, or give no path")
    query = urlencode({**dict(parse_qsl(parts.query)), **options})
    return urlunsplit((scheme, parts.netloc, path, query, ""))


def place(url: str) -> str:
    """Name the server of an address, without its query, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def with_tls(url: str) -> str:
    """Tell the same address with TLS."""
    return f"; if it has TLS, its address is {place(url).replace('ws:', 'wss:', 1)}"


def elsewhere(url: str) -> str:
    """Tell, of a path that is not ours, where plain PCM is."""
    path = urlsplit(url).path.rstrip("/")
    return "" if not path or path.endswith(PATH) else f"; plain PCM is at {PATH}"


async def dial(
    url: str,
    timeout: float,  # noqa: ASYNC109
    *,
    key: str | None = None,
    ca: str | None = None,
) -> ClientConnection:
    """Open the socket; put every way in which that fails into words."""
    host = urlsplit(url).hostname or ""
    secure = urlsplit(url).scheme == "wss"
    loopback = host == "localhost" or host.startswith("127.") or host == "::1"
    try:
        return await connect(
            url,
            open_timeout=timeout,
            additional_headers={"Authorization": f"Bearer {key}"} if key else None,
            compression=None,  # PCM does not shrink, and partials are small
            max_size=MAX_MESSAGE,
            max_queue=QUEUE,
            proxy=None if loopback else True,
            ssl=trust(ca) if secure else None,
        )
    except InvalidStatus as error:
        raise refusal(url, error.response) from None
    except InvalidURI as error:
        raise ValueError(f"{url!r} is no WebSocket address: {error.msg}") from None
    except ConnectionRefusedError:
        raise ServerUnreachable(
            f"nothing listens at {place(url)}; start the server with `realtime serve`"
        ) from None
    except TimeoutError:
        raise ServerUnreachable(f"{place(url)} did not answer within {timeout:g} s") from None
    except InvalidMessage:
        hint = "" if secure else with_tls(url)
        raise ServerUnreachable(f"{place(url)} is no WebSocket server{hint}") from None
    except InvalidHandshake as error:
        raise ServerUnreachable(f"{place(url)} is no WebSocket server: {error}") from None
    except OSError as error:
        if secure and isinstance(error, ssl.SSLError | ConnectionResetError):
            raise failure(place(url), error) from None
        reason = error.strerror or str(error)
        raise ServerUnreachable(f"{place(url)} cannot be reached: {reason}") from None


class Problem(msgspec.Struct):
    """The JSON body of a refusal before the upgrade; anything else in it is not needed."""

    message: str = ""
    error: msgspec.Raw = msgspec.Raw(b"null")


def refusal(url: str, response: Response) -> ServerBusy | Refused:
    """Turn an HTTP answer that is no upgrade into what it means."""
    status = response.status_code
    said = explanation(bytes(response.body or b""))
    if status == 503:
        after = seconds(response.headers.get("Retry-After"))
        when = f"; try again in {after:g} s" if after is not None else ""
        return ServerBusy(f"{place(url)} has no room: {said or 'busy'}{when}", retry_after=after)
    text = said or {404: f"there is no {urlsplit(url).path} there"}.get(status, "")
    text = text or response.reason_phrase or "no reason given"
    if status == 404:
        text += elsewhere(url)
    elif status == 400 and b"https" in bytes(response.body or b"").lower():
        text += with_tls(url)  # so say nginx and Go's servers
    return Refused(f"{place(url)} refused: HTTP {status}, {text}", code=f"http_{status}")


def explanation(body: bytes) -> str:
    """Find the sentence in the JSON body of a refusal: `message`, or that of `error`."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
        if problem.message or not bytes(problem.error).startswith((b"{", b'"')):
            return problem.message.rstrip(".")
        if bytes(problem.error).startswith(b'"'):
            return msgspec.json.decode(problem.error, type=str).rstrip(".")
        return msgspec.json.decode(problem.error, type=Problem).message.rstrip(".")
    except (msgspec.MsgspecError, RecursionError):
        return ""


def seconds(value: str | None) -> float | None:
    """Read Retry-After given in seconds (RFC 9110 10.2.3); None when it is absent or a date."""
    try:
        after = float(value or "")
    except ValueError:
        return None
    return after if 0 <= after < float("inf") else None


async def greeting(socket: ClientConnection) -> Ready:
    """Wait for `ready`; an error in its place is a refusal."""
    try:
        async for message in socket:
            match decode(message) if isinstance(message, str) else None:
                case Ready() as ready:
                    return ready
                case Error(code="busy", message=text):
                    raise ServerBusy(text, retry_after=None)
                case Error(code=word, message=text, fatal=True):
                    raise Refused(f"the server refused: {text}", code=word)
                case None | Error():
                    pass
                case other:
                    raise BadServerMessage(f"the server began with {other}, not with ready")
    except ConnectionClosed:
        pass
    code, reason = socket.close_code or 1006, socket.close_reason or ""
    if code == 1013:
        raise ServerBusy(f"the server has no room: {reason or 'busy'}", retry_after=None)
    raise ConnectionLost(code, reason)
