"""What the tests know of the server they share, and the people who work on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from annotation.server import Access, Running, add_annotator
from manifests.store import Corpus

CONFIG = """<View>
  <Audio name="audio" value="$audio"/>
  <Choices name="verdict" toName="audio"><Choice value="keep"/></Choices>
</View>"""
"""The smallest page that an annotation can be made on."""


@dataclass(frozen=True)
class Annotator:
    """A person with an account: `token` is their own, for what they would do in their browser."""

    id: int
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True)
class LabelStudio:
    """The one server of all tests; each makes projects of its own in it."""

    corpus: Corpus
    running: Running

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def token(self) -> str:
        return self.running.token

    @property
    def email(self) -> str:
        return self.running.email

    @property
    def password(self) -> str:
        return self.running.password

    @property
    def access(self) -> Access:
        return Access(self.url, self.token)

    @property
    def media(self) -> Path:
        """The folder that a project's local storage may name."""
        folder = self.corpus.path / "proxies" / "media"
        folder.mkdir(exist_ok=True)
        return folder

    def client(self, token: str | None = None) -> httpx.Client:
        """Plain requests with the administrator's token, or another."""
        headers = {"Authorization": f"Token {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60.0)

    def annotator(self, name: str) -> Annotator:
        """A new person; the e-mail address begins with `name`, and nobody else of this run has it."""
        email, password = f"{name}-{uuid4().hex[:8]}@example.org", f"{name} has a long password"
        add_annotator(self.access, email, password)
        with login(self.url, email, password) as browser:
            token = browser.get("/api/current-user/token").raise_for_status().json()["token"]
            number = browser.get("/api/current-user/whoami").raise_for_status().json()["id"]
        return Annotator(number, email, password, token)

    def project(self, title: str, **settings: Any) -> int:
        """A new project on the smallest page, with the corpus's proxies as its local storage; its id."""
        with self.client() as client:
            answer = client.post("/api/projects", json={"title": title, "label_config": CONFIG, **settings})
            number = int(answer.raise_for_status().json()["id"])
            storage = {"project": number, "path": str(self.media), "use_blob_urls": True}
            client.post("/api/storages/localfiles", json=storage).raise_for_status()
        return number


@contextmanager
def login(url: str, email: str, password: str) -> Iterator[httpx.Client]:
    """A browser, so to speak, in which somebody is logged in."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60.0) as client:
        page = client.get("/user/login/").raise_for_status().text
        field = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert field is not None
        form = {"csrfmiddlewaretoken": field[1], "email": email, "password": password}
        answer = client.post("/user/login/", data=form)
        assert answer.status_code == 302, f"{email} cannot log in"
        yield client
