"""Starts and stops the embedded Label Studio, at most one server per corpus."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from manifests.files import write_beside
from manifests.lock import Locked, exclusive
from manifests.store import Corpus

from .credentials import Credentials, load_or_make
from .errors import ServerError
from .install import install, server_python
from .web import ask

HOST = "127.0.0.1"
FIRST_PORT = 8080
PORTS = 100
"""Number of ports, from the first on, that are tried for a free one."""
START_SECONDS = 300.0
"""Time without a response after which the start has failed; on a cold disk it takes up to 70 s."""
STARTS = 5
"""Number of attempts if another program takes the port in between."""
STOP_SECONDS = 10.0
"""Time that a server has to end before it is killed."""

_LAUNCH = Path(__file__).parent / "inside" / "lpse_launch.py"
# Label Studio reads dozens of variables, many with common names (DEBUG, HOST, PORT, SECRET_KEY): the
# user's are not passed on. An interpreter needs only these.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class ServerPaths:
    """Paths of a corpus's server data."""

    data: Path  # SQLite, uploads, Django's key
    credentials: Path
    log: Path
    address: Path
    lock: Path
    document_root: Path  # local storages may serve it


def server_paths(corpus: Corpus) -> ServerPaths:
    folder = corpus.path / "annotation"
    return ServerPaths(
        data=folder / "label-studio",
        credentials=folder / "server.toml",
        log=folder / "label-studio.log",
        address=folder / "serving.json",
        lock=folder / "serving.lock",
        document_root=corpus.path / "proxies",
    )


@dataclass(frozen=True)
class Running:
    """A running server; its repr omits secrets. `password` and `token` are the administrator's."""

    url: str
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    log: Path
    pid: int
    process: subprocess.Popen[bytes] = field(repr=False, compare=False)

    def wait(self, seconds: float | None = None) -> None:
        """Return after `seconds`, or never. Raises ServerError if the server ends before."""
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(seconds)
            raise ServerError(f"Label Studio ended ({_outcome(code)}): {_last_line(self.log)}")


@contextmanager
def serving(corpus: Corpus, port: int | None = None, on_line: Callable[[str], None] | None = None) -> Iterator[Running]:
    """Run Label Studio for a corpus, on loopback, within the block; `port` None: the first free one from 8080 on.

    Installs it on first use. Data, the administrator's password and the token are stored under the corpus's
    `annotation/`. `on_line` is called with lines of progress. The server ends with the block, and with this process
    after any end of it (or with the last child that was forked from it within the block). Raises ServerError if the
    corpus already has a server, the port is busy, others may read the password's file, or the server does not start.
    """
    report, own = on_line or _ignore, server_paths(corpus)
    own.data.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        _take_lock(held, corpus)
        own.address.unlink(missing_ok=True)  # left by a killed server; with the lock it would count as valid
        own.data.mkdir(mode=0o700, exist_ok=True)
        own.document_root.mkdir(exist_ok=True)
        credentials = load_or_make(own.credentials)
        if port is not None:
            _check_free(port)
        folder = install(on_line)
        process, url = _started(folder, own, credentials, port, report)
        try:
            _check_token(url, credentials, own)
            with write_beside(own.address) as file:
                file.write(json.dumps({"url": url, "pid": process.pid}).encode())
            yield Running(
                url, credentials.email, credentials.password, credentials.token, own.log, process.pid, process
            )
        finally:
            own.address.unlink(missing_ok=True)
            _stop(process)


def running_url(corpus: Corpus) -> str | None:
    """The address of the corpus's own server; None if it is not running or still starting."""
    own = server_paths(corpus)
    if not _is_held(own.lock):
        return None
    try:
        return str(json.loads(own.address.read_bytes())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _take_lock(held: ExitStack, corpus: Corpus) -> None:
    lock = server_paths(corpus).lock
    for _ in range(10):
        try:
            held.enter_context(exclusive(lock, "Label Studio"))
            return
        except Locked:
            time.sleep(0.1)  # testing the lock, in `_is_held`, holds it for an instant
    url = running_url(corpus)
    state = f"already runs at {url}" if url else "is starting or ending"
    raise ServerError(f"{corpus.path}: its Label Studio server {state}")


def _is_held(lock: Path) -> bool:
    """True if a server runs; files of a killed process do not count."""
    try:
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _check_free(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ServerError(f"port {port}: must be 1 to 65535")
    fault = _fault_of(port)
    if fault is not None:
        busy = fault.errno == errno.EADDRINUSE
        raise ServerError(f"port {port}: {'busy: another program uses it' if busy else fault.strerror}")


def _first_free() -> int:
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _fault_of(port) is None:
            return port
    raise ServerError(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all busy: name another one")


def _fault_of(port: int) -> OSError | None:
    """The error of listening on a port of this machine, or None if it is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does: connections that have just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()  # with this option two may bind one port, but not listen
        except OSError as error:
            return error
    return None


def _started(
    folder: Path, own: ServerPaths, credentials: Credentials, port: int | None, report: Callable[[str], None]
) -> tuple[subprocess.Popen[bytes], str]:
    """A server that responds, and its address. There are seconds between the check of a port and the listening.

    Another program may take it meanwhile: without a requested `port`, the next free one is tried.
    """
    for left in reversed(range(STARTS)):
        chosen = _first_free() if port is None else port
        url, nonce = f"http://{HOST}:{chosen}", secrets.token_hex(16)
        process = _start(folder, own, credentials, chosen, nonce)
        try:
            _await_health(process, url, nonce, own.log, report)
            return process, url
        except BaseException as error:
            ended = process.poll() is not None
            _stop(process)
            if not (isinstance(error, ServerError) and ended and left and port is None and _fault_of(chosen)):
                raise
            report(f"port {chosen} was taken meanwhile")
    raise AssertionError("unreachable")


def _start(folder: Path, own: ServerPaths, credentials: Credentials, port: int, nonce: str) -> subprocess.Popen[bytes]:
    # Secrets by environment: all users of a machine can see arguments.
    settings = {
        "BASE_DATA_DIR": os.fspath(own.data),
        "USERNAME": credentials.email,
        "PASSWORD": credentials.password,
        "USER_TOKEN": credentials.token,
        "ENABLE_LEGACY_API_TOKEN": "true",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": os.fspath(own.document_root),
        "CORS_ALLOW_ALL_ORIGINS": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "FEATURE_FLAGS_OFFLINE": "true",
        "CONVERTER_DOWNLOAD_RESOURCES": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {f"LABEL_STUDIO_{name}": value for name, value in settings.items()}
    # Otherwise it stores an identity in the home folder.
    environment |= {
        name: os.fspath(own.data) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
    }
    environment |= {"LPSE_SERVER_NONCE": nonce, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    own.log.unlink(missing_ok=True)
    log = os.open(own.log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            [os.fspath(server_python(folder)), os.fspath(_LAUNCH), str(port)],
            cwd=own.data,
            env=environment,
            stdin=subprocess.PIPE,  # nothing is written: the server ends when this end closes
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal goes to this process, which then stops the server
        )
    except OSError as error:
        raise ServerError(f"{server_python(folder)}: {error.strerror}") from error
    finally:
        os.close(log)


def _await_health(
    process: subprocess.Popen[bytes], url: str, nonce: str, log: Path, report: Callable[[str], None]
) -> None:
    began, next_report = time.monotonic(), 0.0
    while (elapsed := time.monotonic() - began) < START_SECONDS:
        code = process.poll()
        if code is not None:
            raise ServerError(f"Label Studio did not start ({_outcome(code)}): {_last_line(log)}; see {log}")
        if elapsed >= next_report:
            report(f"starting Label Studio at {url}: {elapsed:.0f} s")
            next_report += 5.0
        with suppress(ServerError):
            answer = ask(f"{url}/health", timeout=5.0)
            # Another server on this port would be healthy, too.
            if answer.status == 200 and answer.headers.get("X-LPSE-Server") == nonce:
                return
        time.sleep(0.2)
    raise ServerError(f"Label Studio did not answer at {url} within {START_SECONDS:.0f} s; see {log}")


def _check_token(url: str, credentials: Credentials, own: ServerPaths) -> None:
    """Check the token: Label Studio sets it only with a new user; a start killed in between left another one."""
    headers = {"Authorization": f"Token {credentials.token}"}
    if ask(f"{url}/api/current-user/whoami", headers=headers).status != 200:
        raise ServerError(
            f"{own.credentials}: unknown token; move the file away and start again: "
            "an additional administrator is created"
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and all its child processes."""
    for sign, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    if process.stdin is not None:
        process.stdin.close()


def _last_line(log: Path) -> str:
    """The last unindented line: of a traceback, its exception."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    messages = [line for line in lines if line.strip() and not line.startswith((" ", "\t"))]
    return messages[-1].strip() if messages else "its log is empty"


def _outcome(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _ignore(line: str) -> None:
    """Discard progress."""
