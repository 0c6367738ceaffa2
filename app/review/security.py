"""Access control: only requests that name this machine by its own name and do not come from another site."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from manifests.schema import CorpusError

from .places import NotHere

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = frozenset({LOOPBACK, "localhost", "::1"})
_HEADERS = {
    "cache-control": "private, no-cache",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_OURS = (None, "same-origin", "none")  # the values with which browsers mark requests that no other site caused


class BadRequest(Exception):
    """A query whose parameters are invalid."""


def is_loopback(host: str) -> bool:
    """True if only this machine reaches a server at `host`."""
    return host in LOOPBACK_NAMES or host.startswith("127.")


def guarded(answer: Callable[[Request], Response], allowed: frozenset[str], request: Request) -> Response:
    """The answer, or an error in one line."""
    if _host(request) not in allowed:
        response: Response = PlainTextResponse("this host name is not one of the app", 403)
    elif request.headers.get("sec-fetch-site") not in _OURS:
        response = PlainTextResponse("requests of another site are refused", 403)
    else:
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


def _host(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None
