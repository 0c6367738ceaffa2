"""Settings in TOML and JSON: equal to what the parsers give, and refused in a line where these would not end well."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.bounded import MOST_BYTES, TextError, one_line, parse_json, parse_toml, read_json, read_text, read_toml
from manifests.schema import CorpusError
from manifests.store import Corpus
from tests.support.limits import within

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.toml")), ids=str)
def test_files_of_before_are_read_as_they_were(path: Path) -> None:
    assert read_toml(path) == tomllib.loads(path.read_text(encoding="utf-8"))


def test_what_stands_in_texts_and_comments_does_not_count() -> None:
    long, deep, dots = "9" * 500, "[" * 500, "a." * 500
    text = (
        f"# {long} {deep} {dots}\n"
        f'a = "{long} \\" {deep}"\nb = \'{dots}{deep}\'\r\n'
        f'c = """\n{dots} = "" {long}\n\\"""{deep}"""\n'
        f"d = '''\n{deep} ' {dots}\n'''\n"
        f'"{dots}" = [[1.5, 2.5], [-0.12345678901234567]]  # {deep}\n'
        f'[e."{dots}".f]\ng = {{ h = {{ i = 1_000_000 }} }}\n'
    )
    assert parse_toml(text) == tomllib.loads(text)


@given(st.text(alphabet="ab.=[]{}\"'#\\\n\r 019_-,", max_size=60))
def test_any_text_is_read_as_the_parser_reads_it(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(TextError):
            parse_toml(text)
    else:
        assert parse_toml(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[t]\na = " + "[" * 6000 + "]" * 6000, "line 2, a: values are nested more than 16 deep"),
        ("a = " + "{b = " * 6000 + "1" + "}" * 6000, "line 1, a: values are nested more than 16 deep"),
        ("a = [\n[\n" + "[\n" * 20 + "]" * 22, "line 17, a: values are nested more than 16 deep"),
        ("a = " + "9" * 6000, "line 1, a: a number of 6000 digits; at most 64 are allowed"),
        ("\na = 0x" + "9_" * 3000, "line 2, a: a number of 6000 digits; at most 64 are allowed"),
        ("a." * 49_999 + "a = 1", r"line 1, a\.a\.a[a.]*: a key of 50000 parts; at most 16 are allowed"),
        ("b = 1\n[" + " a ." * 49_999 + "a]", r"line 2, \[ a [a. ]*: a key of 50000 parts; at most 16 are allowed"),
        ("a = 1\na = 2", "Cannot overwrite a value"),
        ("a = \x00", r"Invalid value"),
        ("a\x00 = 1", r"Expected '=' after a key|Illegal character"),
    ],
    ids=str,
)
def test_what_the_parser_would_not_survive_is_refused(text: str, words: str) -> None:
    with within(5), pytest.raises(TextError, match=words) as refused:
        parse_toml(text)
    assert len(str(refused.value)) <= 300 and str(refused.value).isprintable()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 6000, "", "{", "nul", '"\x00"'])
def test_json_of_any_depth_is_refused(text: str) -> None:
    with within(5), pytest.raises(TextError) as refused:
        parse_json(text)
    assert str(refused.value).isprintable()


def test_only_regular_files_of_a_size_are_read(tmp_path: Path) -> None:
    pipe, large, bytes_ = tmp_path / "pipe", tmp_path / "large", tmp_path / "bytes"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(8 << 30)
    bytes_.write_bytes(b"\xff\xfe")
    with within(5):
        for path, words in (
            (pipe, "not a regular file"),
            (tmp_path, "not a regular file"),
            (large, f"more than {MOST_BYTES} bytes"),
            (bytes_, "can't decode byte 0xff"),
            (tmp_path / "a\0b", "null byte"),
        ):
            for read in (read_text, read_toml, read_json):
                with pytest.raises(TextError, match=words):
                    read(path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "nothing")


@given(st.text(max_size=1000))
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1 and len(line) <= 300 and "\0" not in line


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "schema_version = " + "9" * 5000, "a." * 50_000 + "a = 1"])
def test_a_corpus_with_such_settings_is_refused_by_name(tmp_path: Path, text: str) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    (corpus.path / "corpus.toml").write_text(text)
    with within(5), pytest.raises(CorpusError, match=r"corpus/corpus\.toml: line 1, "):
        Corpus.open(corpus.path)


def test_the_interpreter_has_its_own_limit_of_digits() -> None:
    """The reason for ours: its error is of another kind than the parser's."""
    assert sys.get_int_max_str_digits() > 64
    with pytest.raises(ValueError, match="integer string") as raised:
        tomllib.loads("a = " + "9" * 6000)
    assert not isinstance(raised.value, tomllib.TOMLDecodeError)
