"""Starting and ending the embedded Label Studio, one server for a corpus at most."""

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
"""How many ports, from the first on, are tried for a free one."""
START_SECONDS = 300.0
"""After so long without an answer the start has failed; on a cold disk it takes up to 70 s."""
STARTS = 5
"""How often a start is tried when another program takes the port in between."""
STOP_SECONDS = 10.0
"""So long a server may take to end before it is killed."""

_LAUNCH = Path(__file__).parent / "inside" / "lpse_launch.py"
# Label Studio takes settings from dozens of variables, many with everyday names (DEBUG, HOST, PORT, SECRET_KEY): the
# user's own are not for it. These are what an interpreter needs.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class ServerPaths:
    """Where a corpus keeps what belongs to its server."""

    data: Path  # SQLite, uploads, Django's key
    credentials: Path
    log: Path
    address: Path
    lock: Path
    document_root: Path  # what local storages may serve


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
    """A server that answers; its repr tells no secret. `password` is the administrator's, as is `token`."""

    url: str
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    log: Path
    pid: int
    process: subprocess.Popen[bytes] = field(repr=False, compare=False)

    def wait(self, seconds: float | None = None) -> None:
        """Return after `seconds`, or never. Raises ServerError when the server ends before."""
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(seconds)
            raise ServerError(f"Label Studio ended ({_outcome(code)}): {_last_line(self.log)}")


@contextmanager
def serving(corpus: Corpus, port: int | None = None, on_line: Callable[[str], None] | None = None) -> Iterator[Running]:
    """Label Studio for a corpus, on loopback, within the block; without a `port` on the first free one from 8080 on.

    Installs it on first use. Data, the administrator's password and the token are kept under the corpus's
    `annotation/`. `on_line` gets lines of progress. The server ends with the block, and with this process however
    that ends (or with the last child that was forked from it within the block). Raises ServerError when the corpus
    has a server already, the port is busy, the password's file may be read by others, or the server does not start.
    """
    tell, own = on_line or _ignore, server_paths(corpus)
    own.data.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        _take_lock(held, corpus)
        own.address.unlink(missing_ok=True)  # what a killed one left; from here on it would be believed
        own.data.mkdir(mode=0o700, exist_ok=True)
        own.document_root.mkdir(exist_ok=True)
        credentials = load_or_make(own.credentials)
        if port is not None:
            _check_free(port)
        folder = install(on_line)
        process, url = _started(folder, own, credentials, port, tell)
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
    """The address of the corpus's own server, or None when none runs or it is still starting."""
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
            time.sleep(0.1)  # a look at the lock, `_is_held`, holds it for an instant
    url = running_url(corpus)
    state = f"already, at {url}" if url else "that is just starting or ending"
    raise ServerError(f"{corpus.path}: there is a Label Studio server for it {state}")


def _is_held(lock: Path) -> bool:
    """Whether somebody serves; what a process left behind that was killed does not count."""
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
        raise ServerError(f"port {port}: {'busy: another program listens there' if busy else fault.strerror}")


def _first_free() -> int:
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _fault_of(port) is None:
            return port
    raise ServerError(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all busy; name another one")


def _fault_of(port: int) -> OSError | None:
    """Why nobody could listen on a port of this machine, or None where one could."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server will do it: connections that have just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()  # two may bind one port so, but not listen
        except OSError as error:
            return error
    return None


def _started(
    folder: Path, own: ServerPaths, credentials: Credentials, port: int | None, tell: Callable[[str], None]
) -> tuple[subprocess.Popen[bytes], str]:
    """A server that answers, and its address. Between finding a port free and listening there lie seconds.

    Another program may take it meanwhile: without a `port` that was asked for, the next free one is tried.
    """
    for left in reversed(range(STARTS)):
        chosen = _first_free() if port is None else port
        url, nonce = f"http://{HOST}:{chosen}", secrets.token_hex(16)
        process = _start(folder, own, credentials, chosen, nonce)
        try:
            _await_health(process, url, nonce, own.log, tell)
            return process, url
        except BaseException as error:
            ended = process.poll() is not None
            _stop(process)
            if not (isinstance(error, ServerError) and ended and left and port is None and _fault_of(chosen)):
                raise
            tell(f"port {chosen} was taken meanwhile")
    raise AssertionError("unreachable")


def _start(folder: Path, own: ServerPaths, credentials: Credentials, port: int, nonce: str) -> subprocess.Popen[bytes]:
    # Secrets by environment: arguments are for all users of a machine to see.
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
    # It keeps an identity in the home folder otherwise.
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
            start_new_session=True,  # Ctrl-C in a terminal is for us, who then stop it
        )
    except OSError as error:
        raise ServerError(f"{server_python(folder)}: {error.strerror}") from error
    finally:
        os.close(log)


def _await_health(
    process: subprocess.Popen[bytes], url: str, nonce: str, log: Path, tell: Callable[[str], None]
) -> None:
    began, told = time.monotonic(), 0.0
    while (elapsed := time.monotonic() - began) < START_SECONDS:
        code = process.poll()
        if code is not None:
            raise ServerError(
                f"Label Studio did not start ({_outcome(code)}): {_last_line(log)}; all of it is in {log}"
            )
        if elapsed >= told:
            tell(f"starting Label Studio at {url}: {elapsed:.0f} s")
            told += 5.0
        with suppress(ServerError):
            answer = ask(f"{url}/health", timeout=5.0)
            # Somebody else's server on our port would be healthy, too.
            if answer.status == 200 and answer.headers.get("X-LPSE-Server") == nonce:
                return
        time.sleep(0.2)
    raise ServerError(f"Label Studio did not answer at {url} within {START_SECONDS:.0f} s; its log is {log}")


def _check_token(url: str, credentials: Credentials, own: ServerPaths) -> None:
    """Label Studio takes a token only when it makes its user: a start that was killed right there left another one."""
    headers = {"Authorization": f"Token {credentials.token}"}
    if ask(f"{url}/api/current-user/whoami", headers=headers).status != 200:
        raise ServerError(
            f"{own.credentials}: Label Studio does not know this token; move the file away and start again: "
            "a new administrator is made beside the old one"
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    for sign, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    if process.stdin is not None:
        process.stdin.close()


def _last_line(log: Path) -> str:
    """The last line that says something: of a traceback, its exception."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.strip() and not line.startswith((" ", "\t"))]
    return told[-1].strip() if told else "its log is empty"


def _outcome(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _ignore(line: str) -> None:
    """Nobody wants the progress."""
