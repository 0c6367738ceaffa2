"""Selects the Label Studio server of a command, and signs annotators up."""

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
    """A server's address, without a slash at its end, and a token for it; its repr omits the token."""

    url: str
    token: str = field(repr=False)


def access(corpus: Corpus, url: str | None = None, token: str | None = None) -> Access:
    """The named server, else the environment's, else the corpus's own if it runs.

    A named `url` takes its token from the environment only if that names no other server: a token is only sent to the
    server it is meant for. Raises ServerError if there is no server, or no token for it.
    """
    env_url, env_token = os.environ.get(URL_VARIABLE) or None, os.environ.get(TOKEN_VARIABLE) or None
    if url is not None:
        if token is None and env_url in (None, url):
            token = env_token
        if token is None:
            raise ServerError(f"--url {url}: token missing: give --token, or set {TOKEN_VARIABLE}")
        return Access(_checked(url, "--url"), token)
    if env_url is not None:
        token = env_token if token is None else token
        if token is None:
            raise ServerError(f"{URL_VARIABLE} is {env_url}, but its token is missing: set {TOKEN_VARIABLE}")
        return Access(_checked(env_url, URL_VARIABLE), token)
    if token is not None or env_token is not None:
        which = "--token" if token is not None else TOKEN_VARIABLE
        raise ServerError(f"{which} is given without a server: give --url, or set {URL_VARIABLE}")
    own_url = running_url(corpus)
    if own_url is None:
        raise ServerError(
            f"no Label Studio server: start one with lpse annotate serve --corpus {shlex.quote(str(corpus.path))}, "
            "or give --url and --token"
        )
    return Access(own_url, load(server_paths(corpus).credentials).token)


def _checked(url: str, source: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ServerError(f"{source}: invalid address {url!r}: must be like http://127.0.0.1:8080")
    return url.rstrip("/")


def invite_link(access: Access) -> str:
    """The address where annotators sign up. Everyone with the address can: it is as secret as a password.

    Raises ServerError if the server does not respond or refuses the token.
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

    The API's function for new users ignores the password. Raises ServerError with Label Studio's reason if it refuses
    (an e-mail that is in use, a password under 8 characters).
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
