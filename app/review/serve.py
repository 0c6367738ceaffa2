"""The server of the review app: Streamlit on the loopback, with routes of its own for audio and video."""

from __future__ import annotations

import asyncio
import getpass
import json
import logging
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from manifests.errors import LpseError
from manifests.store import Corpus

from .security import LOOPBACK, LOOPBACK_NAMES, WHICH, Gate, entry, is_loopback, new_key

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response

_START_SECONDS = 60.0
_ASK_SECONDS = 2.0
_OPTIONS: dict[str, object] = {
    "browser.gatherUsageStats": False,
    "client.disableDataExport": True,  # Streamlit's CSV of a table does not guard against formulas
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "global.disableWidgetStateDuplicationWarning": True,
    "runner.magicEnabled": False,
    "runner.postScriptGC": False,  # a collection over all objects of the libraries after every click
    "server.fileWatcherType": "none",
    "server.headless": True,
}
_log = logging.getLogger(__name__)


class ReviewUnavailable(LpseError, OSError):
    """The review app cannot run on this machine."""


@dataclass(frozen=True)
class Serving:
    """A running app: its address, and the key that a browser needs."""

    address: str
    key: str

    @property
    def entry(self) -> str:
        """The address to open first: it has the key."""
        return entry(self.address, self.key)


@contextmanager
def serving(corpus: Corpus, port: int = 0, host: str = LOOPBACK) -> Iterator[Serving]:
    """Serve the app inside the block, with a new key. Port 0 takes a free one.

    Raises ReviewUnavailable without Streamlit, for a taken port, and for an address that is not of this machine.
    """
    for package in ("streamlit", "duckdb"):
        if find_spec(package) is None:
            raise ReviewUnavailable('the review app needs Streamlit and DuckDB: pip install "lpse[app]"')
    listener = _listener(corpus, host, port)
    key = new_key()
    server = _server(corpus, host, key)
    # Streamlit's server needs an event loop of its own; signals stay with the calling thread
    thread = threading.Thread(target=_run, args=(server, listener), name="review server", daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        _warm_up(corpus)
        yield Serving(_address(host, listener.getsockname()[1]), key)
    finally:
        with _ending_sessions():
            server.should_exit = True
            thread.join(10)
        listener.close()


@contextmanager
def _ending_sessions() -> Iterator[None]:
    """Clean up after Streamlit, so that another server can start in this process.

    Streamlit keeps the runtime of a server that has stopped, and the event loop of a session that ended while its
    script still ran.
    """
    from streamlit.runtime import Runtime

    sessions = [info.session for info in Runtime.instance()._session_mgr.list_sessions()] if Runtime.exists() else []
    yield
    for script in threading.enumerate():
        if script.name.startswith("ScriptRunner"):
            script.join(10)
    for session in sessions:
        if not session._script_event_loop.is_running():
            session._script_event_loop.close()
    Runtime._instance = None


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    # a failed start ends with SystemExit; its log has the reason
    with suppress(SystemExit):
        asyncio.run(server.serve([listener]))


def _address(host: str, port: int) -> str:
    name = LOOPBACK if host == "0.0.0.0" else "::1" if host == "::" else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _listener(corpus: Corpus, host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ReviewUnavailable(f"{host}: not an address of this machine: {error.strerror or error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
    except OSError as error:
        listener.close()
        reason = error.strerror or type(error).__name__
        shown = _shown_at(host, port)
        if shown is None:
            advice = "choose another port with --port, or a free one with --port 0"
        elif shown == str(corpus.path):
            advice = f"this corpus is already open at {_address(host, port)}"
        else:
            advice = f"lpse review shows {shown} there; choose another port with --port, or a free one with --port 0"
        raise ReviewUnavailable(f"{host}:{port}: {reason}; {advice}") from error
    return listener


def _shown_at(host: str, port: int) -> str | None:
    """The corpus that another `lpse review` shows at a port of this machine; None without one."""
    if not port or not is_loopback(host):
        return None
    # no proxy of the environment: the port is on this machine
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(_address(host, port) + WHICH, timeout=_ASK_SECONDS) as answer:
            known = json.loads(answer.read(10_000))
        return str(known["corpus"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None


def _server(corpus: Corpus, host: str, key: str) -> uvicorn.Server:
    import uvicorn
    from starlette.routing import Route
    from streamlit import config
    from streamlit.starlette import App

    from .compare import trial_routes, trials_of
    from .media import routes
    from .shell import open_corpus
    from .theme import THEME

    def which(request: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse({"corpus": str(corpus.path)}, headers={"cross-origin-resource-policy": "same-origin"})

    # on another address than the loopback, visitors are other people than the user who started the app
    open_corpus(corpus.path, getpass.getuser() if is_loopback(host) else "")
    for name, value in (_OPTIONS | THEME).items():
        config.set_option(name, value)
    # a foreign host name that resolves to this machine is refused: that site could read the whole corpus
    everything = host in ("0.0.0.0", "::")
    names = LOOPBACK_NAMES | {host} | (_own_names() if everything else set())
    app = App(
        Path(__file__).parent / "script" / "main.py",
        routes=[
            Route(WHICH, which, methods=["GET"]),
            *routes(corpus),
            *trial_routes(trials_of(corpus)),
        ],
        on_script_error=_report_error,
    )
    gate = Gate(app, names, key, own_address=everything)
    return uvicorn.Server(uvicorn.Config(gate, log_level="warning", lifespan="on"))


def _report_error(error: Exception) -> bool:
    """Log an internal error, and show a note on the page."""
    import streamlit as st

    _log.error("a page of the review app failed", exc_info=error)
    st.error("This page failed with an internal error. The terminal that runs lpse review shows the details.")
    return True


def _own_names() -> set[str]:
    """The names and addresses under which other machines may reach this one."""
    name = socket.gethostname()
    try:
        addresses = {str(place[4][0]) for place in socket.getaddrinfo(name, None)}
    except OSError:
        addresses = set()
    return {name, socket.getfqdn(), *addresses}


def _warm_up(corpus: Corpus) -> None:
    """Import the libraries of the pages and read the tables, so that no visitor waits for either."""
    try:
        from curation.catalog.catalog import catalog_of
        from curation.catalog.filters import Filter

        from .pages import browse, overview  # noqa: F401

        catalog_of(corpus).seconds_by_outcome(Filter())
    except Exception as error:  # the page shows the error to its visitors
        _log.debug("warm-up: %s", error)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    end = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise ReviewUnavailable("the server did not start")
        time.sleep(0.02)
