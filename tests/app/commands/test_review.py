"""The command `lpse review` as a process: where it serves, whom it lets in, how it refuses and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manifests.store import Corpus
from tests.support import ROOT
from tests.support.browser import Page
from tests.support.finding_cases import outside
from tests.support.visit import KEYS, open_page, wait_text

# a shell that started the tests in the background has its children ignore Ctrl-C
PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from app.cli import main; main()"
LPSE = [sys.executable, "-c", PROGRAM, "review"]


@contextmanager
def running(corpus: Corpus, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command, and the address that it says, without the key, which goes to KEYS."""
    command = [*LPSE, "--corpus", str(corpus.path), "--no-browser", *options]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("Review "), (line, process.stderr.read() if process.stderr else "")
        address, key = line.split(": ")[1].split(" ")[0].split("/?key=")
        KEYS[address] = key
        yield address, process
    finally:
        process.kill()
        process.communicate()


def refused(*options: str) -> str:
    """What the command complains of in its one line."""
    done = subprocess.run([*LPSE, *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def bare(tmp_path: Path) -> Corpus:
    """A corpus in which nothing was curated."""
    return Corpus.create(tmp_path / "bare")


def test_it_serves_on_the_loopback_and_ends_with_ctrl_c(bare: Corpus, page: Page) -> None:
    with running(bare, "--port", "0") as (address, process):
        assert address.startswith("http://127.0.0.1:")
        open_page(page, address)
        wait_text(page, "Nothing to review yet")
        assert outside(page, address) == []
        port = int(address.rsplit(":", 1)[1])
        others = [place[4][0] for place in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
        for other in {str(one) for one in others if not str(one).startswith("127.")}:
            with pytest.raises(OSError), socket.create_connection((other, port), 2):
                pass
        assert process.stdout
        hint = process.stdout.readline()  # `communicate` does not see what was read ahead with the line before
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert err.strip() == "lpse: stopped; all decisions are saved"
        assert f"lpse curate FOLDER --corpus {bare.path}" in hint


def test_a_port_that_is_taken_is_said_with_what_to_do(bare: Corpus, tmp_path: Path) -> None:
    other = Corpus.create(tmp_path / "other")
    with running(bare, "--port", "0") as (address, _):
        port = address.rsplit(":", 1)[1]
        assert f"this corpus is already open at {address}" in refused("--corpus", str(bare.path), "--port", port)
        line = refused("--corpus", str(other.path), "--port", port)
        assert f"lpse review shows {bare.path} there; choose another port with --port" in line
        # another corpus at another port, at the same time
        with running(other, "--port", "0") as (second, _):
            assert json.loads(asked(second, "/lpse/which")[1]) == {"corpus": str(other.path)}
            assert json.loads(asked(address, "/lpse/which")[1]) == {"corpus": str(bare.path)}
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        line = refused("--corpus", str(bare.path), "--port", str(foreign.getsockname()[1]))
        assert "Address already in use; choose another port with --port, or a free one with --port 0" in line


def test_no_corpus_and_no_such_address_are_refused_in_a_line(bare: Corpus, tmp_path: Path) -> None:
    assert f"{tmp_path}: not a corpus, it has no corpus.toml" in refused("--corpus", str(tmp_path))
    line = refused("--corpus", str(bare.path), "--host", "192.0.2.1", "--port", "0")
    assert line.startswith("lpse: 192.0.2.1:0: Cannot assign requested address")
    assert "nowhere.invalid: not an address of this machine" in refused(
        "--corpus", str(bare.path), "--host", "nowhere.invalid"
    )


def test_another_sites_name_does_not_reach_the_app(bare: Corpus) -> None:
    with running(bare, "--port", "0") as (address, _):
        for path in ("/", "/lpse/which", "/_stcore/health", "/_stcore/host-config"):
            assert asked(address, path)[0] == (200 if path == "/lpse/which" else 403), "without the key"
            assert asked(address, f"{path}?key={KEYS[address]}")[0] == 200
            assert asked(address, path, "evil.example")[0] == 403
            assert asked(address, path, "127.0.0.1.evil.example:80")[0] == 403
            assert asked(address, path, origin="http://evil.example")[0] == 403


def test_another_host_is_served_with_a_warning(bare: Corpus) -> None:
    with running(bare, "--port", "0", "--host", "0.0.0.0") as (address, process):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert err.startswith("Warning: anybody who can reach 0.0.0.0 and has the address below, with its key")
    assert address.startswith("http://127.0.0.1:")


def asked(
    address: str, path: str, host: str | None = None, origin: str | None = None
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of an answer."""
    headers = {name: value for name, value in (("Host", host), ("Origin", origin)) if value}
    request = urllib.request.Request(address + path, headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()).open(
            request, timeout=20
        ) as answer:
            return (
                answer.status,
                answer.read().decode(),
                {name.lower(): value for name, value in answer.headers.items()},
            )
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), {}
