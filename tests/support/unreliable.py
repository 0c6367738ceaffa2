"""A proxy between a client and a server that loses what it is told to lose."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = Callable[["Handler", bytes], bool]
"""Does its harm with the request's handler and body; True when the request is done with."""


class Unreliable(ThreadingHTTPServer):
    """Passes requests on to `target`. POSTs meet the next of `faults` first; `met` are the names of those that did."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = urlsplit(target)
        self.faults: list[Fault] = []
        self.met: list[str] = []
        self.guard = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self) -> Fault | None:
        with self.guard:
            if not self.faults:
                return None
            fault = self.faults.pop(0)
            self.met.append(fault.__name__)
            return fault

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Unreliable
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.next_fault() if self.command == "POST" else None
        if fault is None or not fault(self, body):
            self.reply(*self.forward(body))

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def forward(self, body: bytes) -> tuple[int, bytes]:
        """Ask the server itself; (status, body)."""
        target = self.server.target
        upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        return answer.status, data

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drop(self) -> None:
        """End the connection without a word."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def lost_before(handler: Handler, body: bytes) -> bool:
    """The connection breaks before the server hears of it."""
    handler.drop()
    return True


def lost_after(handler: Handler, body: bytes) -> bool:
    """The server does it, and the connection breaks before it can say so."""
    handler.forward(body)
    handler.drop()
    return True


def bad_gateway_before(handler: Handler, body: bytes) -> bool:
    """502, and nothing was done."""
    handler.reply(502, b'{"detail": "bad gateway"}')
    return True


def bad_gateway_after(handler: Handler, body: bytes) -> bool:
    """502, and all was done."""
    handler.forward(body)
    handler.reply(502, b'{"detail": "bad gateway"}')
    return True


def too_many(handler: Handler, body: bytes) -> bool:
    """429, and nothing was done."""
    handler.reply(429, b'{"detail": "slow down"}', Retry_After="1")
    return True


def slow(handler: Handler, body: bytes) -> bool:
    """It takes its time."""
    time.sleep(0.5)
    return False


def done_late(handler: Handler, body: bytes) -> bool:
    """The connection breaks, and the server does it all the same, after everybody has given up on it."""
    handler.drop()
    time.sleep(1.0)
    handler.forward(body)
    return True


FAULTS: tuple[Fault, ...] = (lost_before, lost_after, bad_gateway_before, bad_gateway_after, too_many, slow, done_late)


def some_faults(count: int, seed: int) -> list[Fault]:
    """Faults at random, each kind at least once when there are enough."""
    chance = random.Random(seed)
    faults = [*FAULTS, *chance.choices(FAULTS, k=max(0, count - len(FAULTS)))][:count]
    chance.shuffle(faults)
    return faults
