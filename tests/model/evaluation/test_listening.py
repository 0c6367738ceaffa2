"""Blind listening: who hears which pair next, what is kept of it, and what all ratings say together."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.identity import cut_id
from manifests.records import Cut, Question, Rating, Recording
from manifests.schema import CorpusError
from manifests.store import Corpus
from model.evaluation.listening import next_pair, rate, system_scores, wilson

CUT = Cut(
    cut_id=cut_id("r1", 1500, 61_500),
    recording_id="r1",
    start=1.5,
    end=61.5,
    decision="accept",
    risk=0.0,
    recipe_hash="0",
)
RELEVANCE: Question = "semantic_relevance"
_number = count()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    made = Corpus.create(tmp_path / "corpus")
    made.replace(
        "recordings", [Recording(recording_id="r1", uri="a:b.mp4", duration=70.0, has_video=True, status="ok")]
    )
    made.replace("cuts", [CUT])
    return made


def trial(cut: str, author: str, *said: tuple[str, int, bool]) -> list[Rating]:
    number = next(_number)
    return [
        Rating(
            rating_id=f"{number}-{system}",
            trial_id=f"t{number}",
            cut_id=cut,
            recording_id="r1",
            start_ms=0,
            end_ms=1000,
            system=system,
            question=RELEVANCE,
            score=score,
            preferred=preferred,
            author=author,
            made_at=datetime.now(UTC),
        )
        for system, score, preferred in said
    ]


def test_a_listener_hears_every_pair_before_one_comes_again() -> None:
    sounds = {"c1": ["reference", "mine", "base"], "c2": ["reference", "mine"], "c3": ["mine"]}
    ratings: list[Rating] = []
    heard = []
    for _ in range(8):
        pair = next_pair(sounds, ratings, "ada", RELEVANCE)
        assert pair is not None
        heard.append((pair.cut_id, frozenset(pair.systems)))
        ratings += trial(pair.cut_id, "ada", *((name, 3, False) for name in pair.systems))
    assert len(set(heard[:4])) == 4 and set(heard[4:]) == set(heard[:4])


def test_what_others_have_not_heard_comes_first() -> None:
    sounds = {"c1": ["a", "b"], "c2": ["a", "b"]}
    pair = next_pair(sounds, trial("c1", "bob", ("a", 3, True), ("b", 2, False)), "ada", RELEVANCE)
    assert pair is not None and pair.cut_id == "c2"
    again = next_pair(sounds, trial("c1", "bob", ("a", 3, True), ("b", 2, False)), "ada", "quality")
    assert again is not None, "another question is heard anew"


def test_which_comes_first_is_drawn() -> None:
    orders = {next_pair({"c": ["a", "b"]}, [], "ada", RELEVANCE) for _ in range(60)}
    assert len(orders) == 2


@pytest.mark.parametrize("sounds", [{}, {"c": ["a"]}, {"c": ["a", "a"]}])
def test_one_sound_is_no_pair(sounds: dict[str, list[str]]) -> None:
    assert next_pair(sounds, [], "ada", RELEVANCE) is None


def test_both_sounds_of_a_trial_are_kept(corpus: Corpus) -> None:
    rate(corpus, CUT, ("mine", "reference"), (2, 5), 1, RELEVANCE, " ada ", "the first one hums")
    first, second = sorted(corpus.rows(Rating), key=lambda row: row.system)
    assert (first.system, first.score, first.preferred) == ("mine", 2, False)
    assert (second.system, second.score, second.preferred) == ("reference", 5, True)
    assert first.trial_id == second.trial_id and first.rating_id != second.rating_id
    assert (first.cut_id, first.start_ms, first.end_ms) == (CUT.cut_id, 1500, 61_500)
    assert first.author == "ada" and first.comment == "the first one hums"
    rate(corpus, CUT, ("mine", "base"), (3, 3), None, RELEVANCE, "ada")
    assert corpus.table("ratings").count() == 4


@pytest.mark.parametrize(
    ("systems", "scores", "preferred", "author", "words"),
    [
        (("a", "b"), (0, 3), None, "ada", "scores are 1 to 5"),
        (("a", "b"), (3, 6), None, "ada", "scores are 1 to 5"),
        (("a", "b"), (3, 3), 2, "ada", "preferred is 0, 1 or None"),
        (("a", "a"), (3, 3), None, "ada", "with itself"),
        (("a", "b"), (3, 3), None, "  ", "the name of its author"),
    ],
)
def test_what_is_no_rating_is_refused(
    corpus: Corpus, systems: tuple[str, str], scores: tuple[int, int], preferred: int | None, author: str, words: str
) -> None:
    with pytest.raises(CorpusError, match=words):
        rate(corpus, CUT, systems, scores, preferred, RELEVANCE, author)
    assert corpus.table("ratings").count() == 0


def test_standings_are_means_over_cuts_not_over_ratings() -> None:
    ratings = [
        row
        for cut, mine, times in (("c1", 1, 9), ("c2", 5, 1))
        for _ in range(times)
        for row in trial(cut, "ada", ("mine", mine, False), ("reference", 5, True))
    ]
    real, made = system_scores(ratings, RELEVANCE)
    assert (real.system, real.score, real.interval, real.won) == ("reference", 5.0, (5.0, 5.0), 1.0)
    assert (made.system, made.score, made.ratings, made.cuts, made.won) == ("mine", 3.0, 10, 2, 0.0)
    assert made.interval == (1.0, 5.0)
    assert system_scores(ratings, "quality") == []
    (alone,) = system_scores(trial("c1", "ada", ("mine", 4, True)), RELEVANCE)
    assert alone.interval is None


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_its_ends_solve_the_score_equation(drawn: tuple[int, int]) -> None:
    wins, trials = drawn
    low, high = wilson(wins, trials)
    share = wins / trials
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            reach = 1.959963984540054**2 * end * (1 - end) / trials
            assert (share - end) ** 2 == pytest.approx(reach, rel=1e-6, abs=1e-12)
