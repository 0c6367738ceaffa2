"""The run of a command: errors in one line, exit codes, and a log file in the corpus."""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import typer

from manifests import healing
from manifests.errors import LpseError

INTERRUPTED, BAD_INPUT, FAULTS = 130, 2, 1
LOGS_KEPT = 50  # log files per corpus; the oldest are removed
PACKAGES = ("manifests", "curation", "annotation", "features", "model", "app")
VERSIONS = ("torch", "numpy", "pyarrow", "av", "onnxruntime", "streamlit", "label-studio-sdk")
_SECRET_OPTION = re.compile(r"--?(token|password|key)\b", re.IGNORECASE)
_HOST = re.compile(r"(?<=://)[^/\s'\"]+|(?<=[?&])(?:token|key|password)=[^&\s'\"]+", re.IGNORECASE)
_SECRET_VARIABLES = ("LPSE_LABEL_STUDIO_TOKEN",)
_logger = logging.getLogger("app")


_shown = [False]


def show_log(shown: bool) -> None:
    """Switch the log on standard error on or off, for the commands that follow."""
    _shown[0] = shown


@contextmanager
def command_run(
    command: str,
    corpus: Path | None = None,
    stopped: str = "stopped; finished work is kept: the same command continues from here",
) -> Iterator[None]:
    """Run the body of a command: invalid input ends it with exit code 2 and one line, a bug with a traceback.

    With a `corpus`, everything is logged to CORPUS/logs, with tracebacks. `stopped`: the line after Ctrl-C.
    """
    with _logging(command, corpus):
        began = time.monotonic()
        try:
            yield
        except (LpseError, OSError) as error:
            _logger.info("refused", exc_info=True)
            _complain(" ".join(str(error).split()))
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt:
            _logger.info("stopped by Ctrl-C")
            _complain(stopped)
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise
        except Exception:
            _logger.exception("failed")
            raise
        finally:
            _logger.info("ended after %.1f s", time.monotonic() - began)


def _complain(line: str) -> None:
    # names may hold bytes that are not UTF-8: they are shown, and cause no second error
    sys.stderr.write(f"lpse: {line}\n".encode("utf-8", "replace").decode("utf-8"))


def program_version() -> str:
    """The installed version of lpse, "unknown" without metadata."""
    try:
        return version("lpse")
    except PackageNotFoundError:
        return "unknown"


def without_secrets(arguments: Sequence[str]) -> str:
    """A command line without the values of secret options, and without the hosts and credentials of addresses."""
    shown, hide = [], False
    for argument in arguments:
        name, _, value = argument.partition("=")
        if hide:
            shown.append("…")
        elif _SECRET_OPTION.match(name) and value:
            shown.append(f"{name}=…")
        else:
            shown.append(_HOST.sub("…", argument))
        hide = not hide and bool(_SECRET_OPTION.match(argument)) and not value
    return shlex.join(shown)


@contextmanager
def _logging(command: str, corpus: Path | None) -> Iterator[None]:
    """Send the records of our packages to the log file of the corpus and, with --verbose, to standard error."""
    handlers: list[logging.Handler] = []
    if corpus is not None:
        handlers.append(_CorpusLog(corpus, command))
    if _shown[0]:
        shown = logging.StreamHandler(sys.stderr)
        shown.setLevel(logging.INFO)
        shown.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        handlers.append(shown)
    loggers = [logging.getLogger(name) for name in PACKAGES]
    healed = _Healed()
    logging.getLogger(healing.__name__).addHandler(healed)
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG if handlers else logger.level)
        logger.propagate = not handlers and logger.propagate
        for handler in handlers:
            logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.setLevel(level)
            logger.propagate = propagate
            for handler in handlers:
                logger.removeHandler(handler)
        logging.getLogger(healing.__name__).removeHandler(healed)
        for handler in handlers:
            handler.close()


class _Healed(logging.Handler):
    """Shows each damaged file that a command made again, in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line to standard error."""
        _complain(" ".join(record.getMessage().split()))


class _CorpusLog(logging.Handler):
    """Writes CORPUS/logs/TIME-COMMAND.log. Records wait in memory until the corpus exists."""

    def __init__(self, corpus: Path, command: str) -> None:
        super().__init__(logging.DEBUG)
        self._corpus = corpus
        now = datetime.now(UTC)
        self._name = f"{now:%Y%m%dT%H%M%S%f}-{command.replace(' ', '-')}.log"
        self._file: logging.FileHandler | None = None
        self._waiting: list[logging.LogRecord] = []
        self._unwritable = False
        self._header = (
            f"lpse {program_version()}, Python {platform.python_version()}, {platform.system()} {platform.machine()}\n"
            f"{', '.join(_versions())}\n"
            f"$ lpse {without_secrets(sys.argv[1:])}\n"
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or keep it until the corpus exists."""
        if self._unwritable:
            return
        self._waiting.append(record)
        if self._file is None and (self._corpus / "corpus.toml").is_file():
            self._open()
        if self._file is not None:
            for one in self._waiting:
                self._file.emit(one)
            self._waiting.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        super().close()

    def _open(self) -> None:
        folder = self._corpus / "logs"
        try:
            folder.mkdir(exist_ok=True)
            path = folder / self._name
            path.write_text(self._header, encoding="utf-8")
            for old in sorted(folder.glob("*.log"))[:-LOGS_KEPT]:
                with suppress(FileNotFoundError):
                    old.unlink()
            self._file = _Quiet(path, encoding="utf-8", errors="backslashreplace")
        except OSError:  # a read-only corpus gets no log
            self._unwritable = True
            return
        self._file.setFormatter(_Discreet())


class _Quiet(logging.FileHandler):
    """A log file; where it cannot be written, on a full disk, the command goes on and names the disk itself."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""


class _Discreet(logging.Formatter):
    """Formats records without hosts and credentials of addresses, and without the values of secret options."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s: %(message)s")
        arguments = sys.argv[1:]
        self._secrets = [value for value in map(os.environ.get, _SECRET_VARIABLES) if value]
        for argument, following in pairwise([*arguments, ""]):
            if _SECRET_OPTION.match(argument):
                self._secrets.append(argument.partition("=")[2] or following)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        text = _HOST.sub("…", super().format(record))
        for secret in filter(None, self._secrets):
            text = text.replace(secret, "…")
        return text


def _versions() -> Iterator[str]:
    for name in VERSIONS:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
