"""Who gets in: the app's own pages in a browser that has the key of this run, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.review import serving
from app.review.security import LOOPBACK_NAMES, Gate
from app.review.serve import Serving
from manifests.store import Corpus
from tests.support.browser import Page
from tests.support.visit import KEYS, cookie, open_page, wait_text

STREAM = "/_stcore/stream"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(Corpus.create(tmp_path_factory.mktemp("bare") / "corpus")) as running:
        KEYS[running.address] = running.key
        yield running


def _ask(app: Serving, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, list[str]], str]:
    connection = http.client.HTTPConnection(urlsplit(app.address).netloc, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        found: dict[str, list[str]] = {}
        for name, value in answer.getheaders():
            found.setdefault(name.lower(), []).append(value)
        return answer.status, found, answer.read().decode(errors="replace")
    finally:
        connection.close()


def _handshake(app: Serving, **headers: str | None) -> int:
    """The status of the answer to a WebSocket's handshake: 101 opens it. By default it is the app's own."""
    own: dict[str, str | None] = {"Host": urlsplit(app.address).netloc, "Origin": app.address, "Cookie": _key(app)}
    key = base64.b64encode(bytes(16)).decode()
    fixed = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    lines = [f"{name}: {value}" for name, value in {**own, **headers, **fixed}.items() if value is not None]
    place = urlsplit(app.address)
    with socket.create_connection((str(place.hostname), int(place.port or 0)), 20) as line:
        line.sendall("\r\n".join([f"GET {STREAM} HTTP/1.1", *lines, "", ""]).encode())
        return int(line.recv(4096).split(b" ")[1])


def _key(app: Serving) -> str:
    return cookie(app.address)


def test_the_websocket_opens_for_the_apps_own_page_alone(app: Serving) -> None:
    port = urlsplit(app.address).port
    assert _handshake(app) == 101
    assert _handshake(app, Host=f"localhost:{port}", Origin=f"http://localhost:{port}") == 101
    for origin in (
        "http://127.0.0.1:9999",
        "http://localhost:9999",
        "http://127.0.0.1",
        f"http://localhost:{port}",  # another name than that of the Host
        "http://evil.example",
        f"http://127.0.0.1:{port}.evil.example",
        f"http://evil.example@127.0.0.1:{port}x",
        f"file://127.0.0.1:{port}",
        "null",
        "http://[",
        "",
        None,
    ):
        assert _handshake(app, Origin=origin) == 403, origin
    for host in (f"evil.example:{port}", "", "[", "127.0.0.1.evil.example"):
        assert _handshake(app, Host=host, Origin=f"http://{host}") == 403, host


def test_the_websocket_needs_the_key_of_this_run(app: Serving) -> None:
    name = _key(app).partition("=")[0]
    for given in (None, f"{name}=", f"{name}=wrong", "lpse_review_1=" + app.key, f"{name}={app.key[:-1]}"):
        assert _handshake(app, Cookie=given) == 403, given
    assert len(app.key) >= 32


def test_every_request_needs_the_key_but_one(app: Serving) -> None:
    for path in (
        "/",
        "/browse",
        "/lpse/media/0",
        "/_stcore/health",
        "/_stcore/host-config",
        "/static/x.js",
        "/nothing",
    ):
        status, _, text = _ask(app, path)
        assert status == 403 and "Open the address that lpse review printed" in text, path
        assert _ask(app, f"{path}?key=wrong")[0] == 403
        assert _ask(app, path, Cookie=_key(app))[0] in (200, 404), path
    for method in ("PUT", "DELETE", "POST"):
        assert _ask(app, "/_stcore/upload_file/a/b", method)[0] == 403
    assert _ask(app, "/lpse/which")[0] == 200


def test_the_key_becomes_a_cookie_and_leaves_the_address(app: Serving) -> None:
    status, headers, _ = _ask(app, f"/browse?risk=0.1-0.9&key={app.key}&words=a+b")
    assert (status, headers["location"]) == (303, ["/browse?risk=0.1-0.9&words=a+b"])
    (stored,) = headers["set-cookie"]
    assert stored.startswith(_key(app)) and "HttpOnly" in stored and "SameSite=lax" in stored
    assert app.entry == f"{app.address}/?key={app.key}"


def test_requests_that_another_page_causes_are_refused(app: Serving) -> None:
    own = {"Cookie": _key(app)}
    for path in ("/", "/_stcore/health", "/lpse/which"):
        for origin in ("http://127.0.0.1:9999", "http://evil.example", "null"):
            status, headers, _ = _ask(app, path, Origin=origin, **own)
            assert status == 403 and "access-control-allow-origin" not in headers
        for site in ("cross-site", "same-site"):
            assert _ask(app, path, sec_fetch_site=site, **own)[0] == 403
        assert _ask(app, path, Origin=app.address, sec_fetch_site="same-origin", **own)[0] == 200
        assert _ask(app, path, Host="evil.example", **own)[0] == 403
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert _ask(app, "/browse", **link, **own)[0] == 200, "a link opens the app"
    assert _ask(app, "/lpse/which", **link, **own)[0] == 403
    assert _ask(app, "/browse", **{**link, "sec_fetch_dest": "iframe"}, **own)[0] == 403


def test_every_answer_forbids_frames(app: Serving) -> None:
    own = {"Cookie": _key(app)}
    for path, headers in (
        ("/", own),
        ("/", {}),
        ("/", own | {"Host": "evil.example"}),
        (f"/?key={app.key}", {}),
        ("/browse", own),
        ("/_stcore/health", own),
        ("/lpse/which", {}),
        ("/lpse/media/0", own),
        ("/nothing/here", own),
    ):
        _, found, _ = _ask(app, path, **headers)
        assert found["x-frame-options"] == ["DENY"], path
        assert any("frame-ancestors 'none'" in policy for policy in found["content-security-policy"]), path


def test_nobody_outside_is_asked(app: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign Origin makes Streamlit look up the addresses of this machine, one of them on the internet."""
    asked: list[Any] = []
    connect, find = socket.socket.connect, socket.getaddrinfo

    def is_ours(host: object) -> bool:
        return host in ("127.0.0.1", "localhost", "::1", b"127.0.0.1")

    def connect_here(self: socket.socket, place: Any) -> None:
        if self.family != socket.AF_UNIX and not is_ours(place[0]):
            asked.append(place)
            raise OSError("blocked")
        connect(self, place)

    def find_here(host: Any, *rest: Any, **named: Any) -> Any:
        if not is_ours(host):
            asked.append(host)
            raise OSError("blocked")
        return find(host, *rest, **named)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", find_here)
    with pytest.raises(OSError, match="blocked"):
        socket.create_connection(("192.0.2.1", 80), 1)
    assert len(asked) == 1
    asked.clear()
    for origin in (app.address, "http://evil.example", "http://192.168.7.7:8501", "http://127.0.0.1:9999", "null"):
        _handshake(app, Origin=origin)
        for path in ("/", "/_stcore/health", "/_stcore/host-config", "/lpse/which"):
            _ask(app, path, Origin=origin, Cookie=_key(app))
    assert asked == []


@contextmanager
def _other_port(content: str) -> Iterator[str]:
    """A page on another port of this machine."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_page_of_another_port_reaches_nothing_in_a_browser_that_has_the_key(app: Serving, page: Page) -> None:
    open_page(page, app.address)
    wait_text(page, "Nothing to review yet")
    assert "key=" not in page.run("location.href")
    assert app.key not in page.run("document.cookie")
    stream = app.address.replace("http", "ws", 1) + STREAM
    script = f"""<script>
    window.found = [];
    const socket = new WebSocket({stream!r}, ["streamlit"]);
    socket.onopen = () => found.push("open");
    socket.onclose = () => found.push("closed");
    fetch("{app.address}/lpse/which").then(() => found.push("read"), () => found.push("not read"));
    fetch("{app.address}/", {{mode: "no-cors", credentials: "include"}}).then((a) => found.push("opaque " + a.type));
    </script><iframe src="{app.address}/browse"></iframe>"""
    with _other_port(script) as address:
        page.visit(address)
        page.wait_for("found.length >= 3")
        assert sorted(page.run("found")) == ["closed", "not read", "opaque opaque"]
        assert page.run("frames[0].length") == 0
        page.wait_for("!document.querySelector('iframe').contentDocument")
    assert any("frame" in line.lower() for line in page.complaints), page.complaints


def test_a_browser_without_the_key_is_told_what_to_do(app: Serving, page: Page) -> None:
    page.visit(f"{app.address.replace('127.0.0.1', 'localhost')}/")
    assert page.run("document.body.innerText").startswith("Open the address that lpse review printed")


@pytest.mark.parametrize(
    ("host", "server", "passes"),
    [
        ("box:8501", "192.168.1.5", True),
        ("BOX", "192.168.1.5", True),
        ("192.168.1.5:8501", "192.168.1.5", True),
        ("192.168.1.6:8501", "192.168.1.5", False),
        ("evil.example", "192.168.1.5", False),
        ("[fe80::1]:8501", "fe80::1", True),
    ],
)
def test_on_all_addresses_the_one_that_a_request_came_to_is_a_name(host: str, server: str, passes: bool) -> None:
    seen: list[bool] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        assert b"origin" not in dict(scope["headers"])
        seen.append(True)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(False)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "server": (server, 8501),
        "headers": [(b"host", host.encode()), (b"origin", f"http://{host}".encode())],
    }
    gate = Gate(behind, LOOPBACK_NAMES | {"box"}, None, own_address=True)
    # a thread: the browser's library has an event loop in this one
    thread = threading.Thread(target=lambda: asyncio.run(gate(scope, receive, send)))
    thread.start()
    thread.join()
    assert seen == [passes]
