"""Which Label Studio a command talks to, and how annotators get into it."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from urllib.parse import urlsplit

from manifests.store import Corpus

from .credentials import load
from .errors import ServerError
from .run import running_url, server_paths
from .web import Answer, ask

URL_VARIABLE = "LPSE_LABEL_STUDIO_URL"
TOKEN_VARIABLE = "LPSE_LABEL_STUDIO_TOKEN"


@dataclass(frozen=True)
class Access:
    """A server's address, without a slash at its end, and a token for it; its repr does not tell the token."""

    url: str
    token: str = field(repr=False)


def access(corpus: Corpus, url: str | None = None, token: str | None = None) -> Access:
    """The server that was named, else the environment's, else the corpus's own when it runs.

    A named `url` may take its token from the environment only when that names no other server: a token is never sent
    where it was not meant to go. Raises ServerError when there is no server, or no token for it.
    """
    known_url, known_token = os.environ.get(URL_VARIABLE) or None, os.environ.get(TOKEN_VARIABLE) or None
    if url is not None:
        if token is None and known_url in (None, url):
            token = known_token
        if token is None:
            raise ServerError(f"--url {url}: no token for it; give --token, or set {TOKEN_VARIABLE}")
        return Access(_checked(url, "--url"), token)
    if known_url is not None:
        token = known_token if token is None else token
        if token is None:
            raise ServerError(f"{URL_VARIABLE} is {known_url}, but there is no token: set {TOKEN_VARIABLE}")
        return Access(_checked(known_url, URL_VARIABLE), token)
    if token is not None or known_token is not None:
        which = "--token" if token is not None else TOKEN_VARIABLE
        raise ServerError(f"{which} is for no server: give --url, or set {URL_VARIABLE}")
    found = running_url(corpus)
    if found is None:
        raise ServerError(
            f"no Label Studio server: start one with lpse annotate serve --corpus {shlex.quote(str(corpus.path))}, "
            "or give --url and --token"
        )
    return Access(found, load(server_paths(corpus).credentials).token)


def _checked(url: str, source: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ServerError(f"{source}: an address looks like http://127.0.0.1:8080, this is {url!r}")
    return url.rstrip("/")


def invite_link(access: Access) -> str:
    """The address where annotators sign up. Whoever has it can: it is as secret as a password.

    Raises ServerError when the server does not answer or refuses the token.
    """
    answer = ask(f"{access.url}/api/invite", headers={"Authorization": f"Token {access.token}"})
    if answer.status in (401, 403):
        raise ServerError(f"{access.url}: Label Studio refuses the token (status {answer.status})")
    try:
        link = json.loads(answer.text)["invite_url"]
    except (ValueError, KeyError, TypeError):
        raise ServerError(f"{access.url}: no invite link in the answer (status {answer.status})") from None
    return str(link) if urlsplit(str(link)).scheme else f"{access.url}{link}"


def add_annotator(access: Access, email: str, password: str) -> None:
    """Sign an annotator up, as their browser would.

    The API's own way of making users ignores the password. Raises ServerError with Label Studio's reason when it
    refuses (an e-mail that is in use, a password under 8 characters).
    """
    link, cookies = invite_link(access), CookieJar()
    page = ask(link, cookies=cookies)
    field = re.search(r'name="csrfmiddlewaretoken"\s+value="([^"]+)"', page.text)
    if page.status != 200 or field is None:
        raise ServerError(f"{access.url}: no sign-up page (status {page.status})")
    form = {"csrfmiddlewaretoken": field[1], "email": email, "password": password, "allow_newsletters": "false"}
    answer = ask(link, headers={"Referer": link}, form=form, cookies=cookies)
    if answer.status != 302:
        raise ServerError(f"{email}: Label Studio refuses to sign up: {_reason(answer)}")


def _reason(answer: Answer) -> str:
    reasons = re.findall(r"<li>\s*([^<]*?)\s*</li>", " ".join(re.findall(r'(?s)"field_errors">.*?</ul>', answer.text)))
    return html.unescape("; ".join(reasons)) or f"status {answer.status}"
