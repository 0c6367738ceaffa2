"""The run of a command: exit codes, errors in one line, and a log file in the corpus that a bug report can carry."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from app.terminal.run import BAD_INPUT, INTERRUPTED, LOGS_KEPT, command_run, program_version, show_log, without_secrets
from curation.runner import Item, run_local
from manifests.errors import LpseError
from manifests.store import Corpus
from tests.support import runner_stages as stages

LPSE = [sys.executable, "-c", "from app.cli import main; main()"]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "corpus")


def logs(corpus: Corpus) -> list[Path]:
    return sorted((corpus.path / "logs").glob("*"))


def log(corpus: Corpus) -> str:
    (path,) = logs(corpus)
    return path.read_text(encoding="utf-8")


def test_a_run_leaves_a_log_with_versions_and_its_command(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["lpse", "annotate", "push", "--corpus", "my corpus"])
    with command_run("annotate push", corpus.path):
        logging.getLogger("curation.pipeline.curate").info("12 files found")
        logging.getLogger("curation.pipeline.curate").debug("the second")
        logging.getLogger("elsewhere").error("not ours")
    (path,) = logs(corpus)
    assert path.name.endswith("-annotate-push.log")
    first, versions, command, *records = path.read_text().splitlines()
    assert first.startswith(f"lpse {program_version()}, Python {platform.python_version()}, ")
    assert f"pyarrow {version('pyarrow')}" in versions and f"torch {version('torch')}" in versions
    assert command == "$ lpse annotate push --corpus 'my corpus'"
    assert any(line.endswith("INFO curation.pipeline.curate: 12 files found") for line in records)
    assert any("DEBUG curation.pipeline.curate: the second" in line for line in records)
    assert "not ours" not in "".join(records)
    assert "ended after" in records[-1]
    assert logging.getLogger("curation").handlers == [], "the next command has a log of its own"


def test_neither_secrets_nor_host_names_are_logged(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["lpse", "annotate", "pull", "--token", "hush1", "--url", "https://me:pw@host.example/ls"]
    )
    monkeypatch.setenv("LPSE_LABEL_STUDIO_TOKEN", "hush2")
    with command_run("annotate pull", corpus.path):
        logging.getLogger("annotation").warning("GET http://host.example:8080/api?token=hush3 with hush1, hush2")
    text = log(corpus)
    assert "$ lpse annotate pull --token '…' --url 'https://…/ls'" in text
    assert "GET http://…/api?… with …, …" in text
    for secret in ("hush", "host.example", "me:pw", platform.node()):
        assert secret not in text, secret


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--token=abc", "--token", "--password", "p", "x"], "'--token=…' --token '…' p x"),
        (["--key", "k", "http://u:p@h/a?password=q&b=1"], "--key '…' 'http://…/a?…&b=1'"),
        (["--keyboard", "k"], "--keyboard k"),
    ],
)
def test_values_of_secret_options_are_hidden(arguments: list[str], shown: str) -> None:
    assert without_secrets(arguments) == shown


def test_an_error_inside_a_worker_is_logged_with_its_traceback(corpus: Corpus) -> None:
    with command_run("curate", corpus.path):
        (result,) = run_local(stages.Act(), [Item("k", "k", ("fail", "the disk is on fire"))], workers=1)
        assert result.status == "raised"
    text = log(corpus)
    assert "Traceback (most recent call last)" in text and "the disk is on fire" in text
    assert "runner_stages.py" in text


def test_a_bug_in_a_command_is_logged_with_its_traceback_and_still_raised(corpus: Corpus) -> None:
    with pytest.raises(ZeroDivisionError), command_run("curate", corpus.path):
        _ = 1 / 0
    text = log(corpus)
    assert "ERROR app: failed" in text and "ZeroDivisionError: division by zero" in text and "test_run.py" in text


def test_bad_input_ends_in_one_line_with_its_traceback_in_the_log(
    corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, command_run("curate", corpus.path):
        raise LpseError("a.toml: the key\n  is unknown")
    assert ended.value.exit_code == BAD_INPUT
    assert capsys.readouterr().err == "lpse: a.toml: the key is unknown\n"
    assert "INFO app: refused" in log(corpus) and "Traceback" in log(corpus)


def test_ctrl_c_ends_in_one_line(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, command_run("curate", corpus.path, "stopped; all is saved"):
        raise KeyboardInterrupt
    assert ended.value.exit_code == INTERRUPTED
    assert capsys.readouterr().err == "lpse: stopped; all is saved\n"
    assert "stopped by Ctrl-C" in log(corpus)


def test_a_corpus_that_the_command_creates_gets_all_of_the_log(tmp_path: Path) -> None:
    with command_run("curate", tmp_path / "corpus"):
        logging.getLogger("curation").info("before the corpus")
        corpus = Corpus.create(tmp_path / "corpus")
        logging.getLogger("curation").info("after it")
    assert log(corpus).index("before the corpus") < log(corpus).index("after it")


def test_no_log_is_made_where_there_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit), command_run("report", tmp_path / "nowhere"):
        raise LpseError("not a corpus")
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_without_room_for_logs_does_not_fail(corpus: Corpus) -> None:
    # a file in the place of the folder: permissions do not stop root
    (corpus.path / "logs").write_text("in the way")
    with command_run("report", corpus.path):
        logging.getLogger("app").info("something")
        logging.getLogger("app").info("something else")
    assert (corpus.path / "logs").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_corpus_does_not_fail(corpus: Corpus) -> None:
    corpus.path.chmod(0o555)
    try:
        with command_run("report", corpus.path):
            logging.getLogger("app").info("something")
    finally:
        corpus.path.chmod(0o755)
    assert not (corpus.path / "logs").exists()


def test_only_the_latest_logs_are_kept(corpus: Corpus) -> None:
    folder = corpus.path / "logs"
    folder.mkdir()
    old = [folder / f"2020010{day}T000000{number:06d}-curate.log" for day in (1, 2) for number in range(30)]
    for path in old:
        path.write_text("old")
    (folder / "notes.txt").write_text("of a person")
    with command_run("report", corpus.path):
        pass
    left = sorted(folder.glob("*.log"))
    assert len(left) == LOGS_KEPT
    assert left[:-1] == old[-(LOGS_KEPT - 1) :] and left[-1].name.endswith("-report.log")
    assert (folder / "notes.txt").exists()


def test_verbose_shows_the_log_on_standard_error(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    show_log(True)
    try:
        with command_run("report", corpus.path):
            logging.getLogger("curation").info("12 files found")
            logging.getLogger("curation").debug("only in the file")
    finally:
        show_log(False)
    shown = capsys.readouterr().err
    assert "INFO curation: 12 files found\n" in shown and "only in the file" not in shown
    assert "only in the file" in log(corpus)
    with command_run("report", corpus.path):
        logging.getLogger("curation").info("12 files found")
    assert capsys.readouterr().err == ""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*LPSE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_line_has_version_and_verbose(corpus: Corpus) -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"lpse {version('lpse')}\n", "")
    done = run("--verbose", "validate", "--corpus", corpus.path)
    assert done.returncode == 0 and "INFO app: ended after" in done.stderr
    assert "lpse --verbose validate" in log(corpus)
    assert run("validate", "--corpus", corpus.path).stderr == ""
