"""The words: code scores, reads and reports; only people hear, tell and say. Each word means what the glossary says.

The check reads prose, docstrings, strings and notebook cells, not comments and names in code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.pages import texts

CHECKED = ("README.md", "CHANGELOG.md", "docs", "manifests", "curation", "annotation", "features", "model", "app")
"""The files and folders that are checked."""

BANNED = {
    r"told|tells?|telling": "reports, describes, shows",
    r"hears?|heard|hearing": "scores (detectors), uses (networks)",
    r"listens?|listened": "uses, scores",
    r"sees?|saw": "reads, finds",
    r"says?|said": "names, gives, states",
    r"knows?": "contains, finds",
    r"looks?|looked|looking": "reads, analyzes",
    r"asks?|asked": "requires, requests",
    r"nobody|somebody|whoever|whatever": "the noun: no annotator, a person, any value",
    r"anew": "again",
    r"go(es)? by|went by": "applies, uses",
    r"stands?|stood": "is, remains",
    r"there (is|are) none|is none|are none|is no number": "missing, unknown, invalid, NaN",
    r"as good as": "nearly",
    r"(take|takes|took) the place of": "replaces, supersedes",
    r"comes? of": "results from",
    r"so many": "that number of",
    r"\d+ \w+s a (second|minute)|(frames|vectors|words|clips|rows|samples) an? \w+": "per",
}
"""Banned words and phrases, and what to write instead."""

PEOPLE = re.compile(r"annotator|reviewer|listener|person|people|you\b|user|caption", re.IGNORECASE)
"""A sentence about people may have their verbs."""
VERBS_OF_PEOPLE = r"hear|listen|see|saw|say|said|know|look|ask|tell|told"

ALLOWED = {
    ("docs/review.md", "ask"),  # the name of a decision
    ("annotation/server/run.py", "see"),  # the log
    ("annotation/labelstudio/client.py", "knows"),  # the caller
    ("annotation/labelstudio/page/guide.py", "listen"),  # to annotators
    ("annotation/rounds/adjudicate.py", "know"),  # the adjudicator
}
"""Uses that are right: a file, and the word in it."""
NOT_BANNED = re.compile(
    r"`[^`]*`|\bis None\b|\bare None\b|\b[Ss]ee\s+(also )?(?=`|manifests|\{)|\b[Ss]tands?\s+(for|in)\b"
    r"|\b[Ss]tand-ins?\b|\blook(s|ed|ing)?[ -]ups?\b"
)
"""Code, None, references, and compounds with another meaning."""


def files() -> Iterator[Path]:
    for name in CHECKED:
        path = ROOT / name
        found = [path] if path.is_file() else [*path.rglob("*.md"), *path.rglob("*.py"), *path.rglob("*.ipynb")]
        yield from sorted(found)


def faults(text: str) -> Iterator[tuple[str, str]]:
    """(what is there, what to write instead) for each banned word in a text that is not a sentence about people."""
    if " " not in text.strip():  # a key or a name
        return
    for sentence in re.split(r"(?<=[.!?:;|])\s", NOT_BANNED.sub("", text)):
        people = PEOPLE.search(sentence)
        for pattern, instead in BANNED.items():
            for match in re.finditer(rf"\b({pattern})\b", sentence, re.IGNORECASE):
                if not (people and re.match(VERBS_OF_PEOPLE, match[0], re.IGNORECASE)):
                    yield match[0].lower(), instead


@pytest.mark.parametrize("path", list(files()), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_words_are_those_of_the_field(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = [
        f"{name}:{line}: {word!r}: write {instead}"
        for line, text in texts(path)
        for word, instead in faults(text)
        if (name, word) not in ALLOWED
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A detector hears speech.", "hears"),
        ("Decide anew, from the kept scores.", "anew"),
        ("What nobody scored is NaN.", "nobody"),
        ("The table tells which.", "tells"),
        ("Pooled to 25 frames a second.", "25 frames a second"),
        ("Replay goes by the verdicts.", "goes by"),
        ("A loss that is no number ends it.", "is no number"),
        ("It takes the place of the row.", "takes the place of"),
    ],
)
def test_a_banned_word_is_found(text: str, word: str) -> None:
    assert word in [found for found, _ in faults(text)]


@pytest.mark.parametrize(
    "text",
    [
        "An annotator hears at least half of the cut.",
        "You can see their answers.",
        "Detectors score audio at 25 frames per second.",
        "A span of a minute or more.",
    ],
)
def test_plain_sentences_pass(text: str) -> None:
    assert list(faults(text)) == []


QUESTION = re.compile(r"\s*(What|Which|Where|When|Who|Whose|Whether|How|Why)\b(?! if\b)")


@pytest.mark.parametrize(
    "path", [path for path in files() if path.suffix == ".py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_docstrings_begin_with_a_verb_or_a_noun(path: Path) -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented):
            assert not QUESTION.match(ast.get_docstring(node) or ""), f"{path}: {ast.get_docstring(node)}"


def test_every_exception_is_needed() -> None:
    met = {
        (str(path.relative_to(ROOT)), word) for path in files() for _, text in texts(path) for word, _ in faults(text)
    }
    assert met >= ALLOWED
