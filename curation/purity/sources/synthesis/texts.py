"""Texts to speak and to sing: words of the first article of the Universal Declaration of Human Rights, by language.

The words are drawn at random into sentences with commas, questions and numbers: the sound of a language, not a sense.
The Declaration is in the public domain. English has templates besides.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from .signals import Rng

SYLLABLES = ("la", "na", "da", "doo", "ah", "oh", "mm", "hey", "yeah", "lo", "ma", "ooh", "ra", "no", "li")
"""Syllables of songs without words."""


@cache
def _texts() -> Mapping[str, Any]:
    return tomllib.loads(files(__package__).joinpath("texts.toml").read_text(encoding="utf-8"))


def languages() -> list[str]:
    """The languages with a text, by their names in eSpeak NG."""
    return list(_texts()["article"])


def words(language: str) -> list[str]:
    """The words of a language's text."""
    return str(_texts()["article"][language]).split()


def sentence(rng: Rng, language: str) -> str:
    """A sentence of 5 to 16 words of a language."""
    if language.startswith("en") and rng.random() < 0.7:
        parts = _texts()["english"]
        drawn = {name: rng.choice(parts[name]) for name in ("people", "verbs", "places", "tails")}
        text = str(rng.choice(parts["templates"])).format(number=rng.integers(2, 900), **drawn)
        return text[0].upper() + text[1:]
    known = words(language)
    count = int(rng.integers(5, 17))
    if rng.random() < 0.4:
        first = int(rng.integers(0, len(known)))
        chosen = (known * 2)[first : first + count]
    else:
        chosen = [str(word) for word in rng.choice(known, count)]
    if rng.random() < 0.25:
        chosen.insert(int(rng.integers(1, count)), str(rng.integers(2, 3000)))
    if rng.random() < 0.4:
        chosen[int(rng.integers(1, len(chosen) - 1))] += ","
    return " ".join(chosen).capitalize() + str(rng.choice([".", ".", ".", "?", "!"]))


def lyrics(rng: Rng, language: str, count: int) -> str:
    """`count` words to sing: of the language, or one time in four syllables without sense."""
    if rng.random() < 0.25:
        pool = rng.choice(SYLLABLES, int(rng.integers(1, 4)))
        return " ".join(str(rng.choice(pool)) for _ in range(count))
    return " ".join(str(word) for word in rng.choice(words(language), count))
