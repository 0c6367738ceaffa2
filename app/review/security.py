"""Access control: every request passes `Gate` before Streamlit or a route of our own gets it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from manifests.schema import CorpusError

from .places import NotHere

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = frozenset({LOOPBACK, "localhost", "::1"})
WHICH = "/lpse/which"  # answers with the corpus that a server shows; needs no key
_KEY = "key"
_HEADERS = {
    "cache-control": "private, no-cache",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_EVERYWHERE = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
}
_OURS = (None, "same-origin", "none")  # the values with which browsers mark requests that no other site caused


class BadRequest(Exception):
    """A query whose parameters are invalid."""


def is_loopback(host: str) -> bool:
    """True if only this machine reaches a server at `host`."""
    return host in LOOPBACK_NAMES or host.startswith("127.")


def new_key() -> str:
    """The secret of one run: a browser that has it may read and write."""
    return secrets.token_urlsafe(24)


def entry(address: str, key: str) -> str:
    """The address that lets a browser in: it stores the key as a cookie of this run."""
    return f"{address}/?{urlencode({_KEY: key})}"


class Gate:
    """The outermost application: refuses requests of other hosts, other pages, and without this run's key.

    `names`: the host names of the server; with `own_address` the address that a request arrived at is one too. A
    request must name one of them as Host. Its Origin, if it has one, must be this server with its port: pages of other
    ports of this machine are foreign, though browsers take them for the same site. WebSockets must have an Origin.
    Without `key` (None) no key is needed. Every answer forbids frames. Streamlit gets requests without their Origin:
    it would look up this machine's outside address to compare it.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], key: str | None, *, own_address: bool = False) -> None:
        self._app, self._key, self._own_address = app, key, own_address
        self._names = frozenset(name.lower().strip("[]") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request; a WebSocket that is refused is closed before it opens."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"origin"]
            await self._app({**scope, "headers": headers}, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # policy violation
        else:
            await refusal(scope, receive, _unframed(send))

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that may not pass; None for any other."""
        headers, scope = request.headers, request.scope
        served = self._names | ({str(scope["server"][0])} if self._own_address and scope.get("server") else frozenset())
        if _host(headers) not in served:
            return PlainTextResponse("this host name is not one of the app", 403)
        origin = headers.get("origin")
        if origin is None and scope["type"] == "websocket":
            return PlainTextResponse("a WebSocket needs an Origin", 403)
        if origin is not None and not _is_own(origin, headers["host"]):
            return PlainTextResponse("requests of another site are refused", 403)
        if headers.get("sec-fetch-site") not in _OURS and not _is_visit(scope, headers):
            return PlainTextResponse("requests of another site are refused", 403)
        return None if scope["path"] == WHICH else self._without_key(request)

    def _without_key(self, request: HTTPConnection) -> Response | None:
        if self._key is None:
            return None
        # cookies are shared by all ports of a host: each run has its own
        cookie = f"lpse_review_{(request.scope.get('server') or (None, 0))[1]}"
        if secrets.compare_digest(request.cookies.get(cookie, "").encode(), self._key.encode()):
            return None
        query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == _KEY]
        if request.scope["type"] == "http" and given and secrets.compare_digest(given[0].encode(), self._key.encode()):
            rest = urlencode([(name, value) for name, value in query if name != _KEY])
            response = RedirectResponse(request.url.path + (f"?{rest}" if rest else ""), 303)
            response.set_cookie(cookie, self._key, httponly=True, samesite="lax", path="/")
            return response
        return PlainTextResponse(
            "Open the address that lpse review printed: it has the key of this run, which this browser lacks.", 403
        )


def guarded(answer: Callable[[Request], Response], request: Request) -> Response:
    """The answer of a route of our own, or an error in one line."""
    try:
        response = answer(request)
    except NotHere as error:
        response = PlainTextResponse(str(error), 404)
    except BadRequest as error:
        response = PlainTextResponse(str(error), 400)
    except CorpusError as error:
        response = PlainTextResponse(str(error), 503)
    response.headers.update(_HEADERS)
    return response


def _unframed(send: Send) -> Send:
    """Add to every answer that no page may frame it."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _EVERYWHERE.items():
                headers.append(name, value)  # a second policy: browsers follow both
        await send(message)

    return sent


def _is_own(origin: str, host: str) -> bool:
    try:
        place = urlsplit(origin)
    except ValueError:
        return False
    return place.scheme in ("http", "https") and place.netloc.lower() == host.lower()


def _is_visit(scope: Scope, headers: Headers) -> bool:
    """True for a link of another page to a page of the app, opened in a window of its own."""
    opened = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return opened and scope.get("method") == "GET" and not scope["path"].startswith("/lpse/")


def _host(headers: Headers) -> str | None:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return None
