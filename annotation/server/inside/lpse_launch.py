"""Starts Label Studio on one port of this machine: `python lpse_launch.py PORT`, settings by environment.

Differences from `label-studio start`: the server ends when its standard input is closed, cannot connect to other
machines, removes secrets from its output, serves on this port or not at all, and has its Django settings changed
before they are used.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import ipaddress
import os
import re
import socket
import sys
import threading
from typing import Any

_SETTINGS = "label_studio.core.settings.label_studio"
_SECRETS = ("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_USER_TOKEN", "LPSE_SERVER_NONCE")
# Headers, cookies, and the query of an address: an invite link is one.
_SECRET_TEXT = re.compile(
    r"(?i)((?:token|password|csrf\w*|session\w*|authorization|secret\w*)\W{1,4}(?:token\s+)?)[\w.:~%/+-]{6,}"
)


def main(port: int) -> None:
    threading.Thread(target=_end_with_starter, daemon=True).start()
    known = [value for name in _SECRETS if (value := os.environ.get(name))]
    sys.stdout = sys.stderr = Discreet(2, known)
    sys.addaudithook(stay_home)
    _change_settings()
    # --debug only makes a busy port an error; otherwise the next free one is taken silently
    sys.argv = ["label-studio", "start", "--no-browser", "--debug", "--internal-host", "127.0.0.1", "-p", str(port)]
    importlib.import_module("label_studio.server").main()


def _end_with_starter() -> None:
    """Exit when standard input ends: nothing is written to it, so it ends when its holder closes it or dies."""
    while os.read(0, 4096):
        pass
    os._exit(0)  # SQLite keeps committed data; threads that wait for browsers would delay a normal exit


class Discreet(io.TextIOWrapper):
    """Text output to a file descriptor, line by line, without secrets."""

    def __init__(self, descriptor: int, known: list[str]) -> None:
        raw = io.BufferedWriter(io.FileIO(descriptor, "wb", closefd=False))
        super().__init__(raw, "utf-8", "backslashreplace", line_buffering=True)
        self._known = known

    def write(self, text: str) -> int:
        super().write(scrub(text, self._known))
        return len(text)


def scrub(text: str, known: list[str]) -> str:
    """`text` without the `known` secrets and without anything that has the form of one."""
    for secret in known:
        text = text.replace(secret, "***")
    return _SECRET_TEXT.sub(r"\1***", text)


def stay_home(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: blocks connections to, and look-ups of, other machines. Raises OSError.

    The server's settings disable its known reporting, but not, for example, the tips on its start page.
    """
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None  # a Unix socket's address is a path
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not is_here(host):
        raise socket.gaierror(f"{host}: this server may not connect to other machines")


def is_here(host: str | bytes | None) -> bool:
    """True if a host is this machine: None, a loopback address, or `localhost`."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _change_settings() -> None:
    found = importlib.util.find_spec("label_studio")
    assert found is not None and found.submodule_search_locations
    sys.path.insert(0, found.submodule_search_locations[0])  # Label Studio imports its own parts as `core`, `users`
    os.environ["DJANGO_SETTINGS_MODULE"] = _SETTINGS
    settings = importlib.import_module("django.conf").settings
    settings.MIDDLEWARE.insert(0, "lpse_guard.Guard")
    # A transaction waits for another's write up to 30 s. Without IMMEDIATE, one that reads before it writes
    # fails at once if another one wrote in between, at any timeout.
    settings.DATABASES["default"]["OPTIONS"].update(timeout=30, transaction_mode="IMMEDIATE")
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
    # Otherwise every request is logged with its address; 4xx and 5xx still are.
    settings.LOGGING["loggers"]["django.server"] = {"level": "WARNING"}


if __name__ == "__main__":
    main(int(sys.argv[1]))
