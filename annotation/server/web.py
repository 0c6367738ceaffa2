"""Plain HTTP requests to a Label Studio server."""

from __future__ import annotations

import http.client
import ipaddress
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.cookiejar import CookieJar
from typing import IO

from .errors import ServerError


@dataclass(frozen=True)
class Answer:
    """A server's response with any status; `text` is UTF-8."""

    status: int
    headers: Message
    text: str


def ask(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    cookies: CookieJar | None = None,
    timeout: float = 30.0,
) -> Answer:
    """One GET, or POST of a form; `timeout` in seconds. Raises ServerError, with the host, without a response."""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if is_loopback(url):
        handlers.append(urllib.request.ProxyHandler({}))  # a web proxy cannot reach this machine's own addresses
    if cookies is not None:
        handlers.append(urllib.request.HTTPCookieProcessor(cookies))
    data = None if form is None else urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(url, data, dict(headers or {}))
    try:
        try:
            response = urllib.request.build_opener(*handlers).open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(response.status, response.headers, response.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        host = urllib.parse.urlsplit(url)
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise ServerError(f"{host.scheme}://{host.netloc}: Label Studio does not answer: {reason}") from None


def is_loopback(url: str) -> bool:
    """True if an address is this machine's own."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Returns a redirect as a response: urllib would send the token to its target."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None
