"""Which cuts are extracted, what they are said to be, and on which side of a split they are."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.detectors import audioset, yamnet
from curation.detectors.score_store import setup_of
from curation.release.splits import family, split_of
from features.extraction.captions import caption, top_tags
from features.extraction.plan import planned_cuts
from manifests.annotations import counted
from manifests.recipe import load_recipe
from manifests.records import Annotation, Duplicate, Recording, Source
from manifests.scores import NO_TAG, FrameScores, Tags
from manifests.time import Segment
from tests.support.made_up_annotators import NOON, a_task, an_answer
from tests.support.small_corpus import corpus_of, film

CUT = Segment(10.0, 20.0)


def heard(start: float, end: float, words: str | None, **columns: Any) -> Annotation:
    task = a_task("t", start_ms=round(start * 1000), length_ms=round((end - start) * 1000))
    return replace(an_answer(task, "ann"), **{"caption": words, "updated_at": NOON, **columns})


def tagged(tagger: Any, hop: float, *frames: dict[str, float]) -> FrameScores:
    """Scores whose tags are these, a dict of names a frame."""
    names = tagger.class_names()
    width = max(map(len, frames))
    ids = np.full((len(frames), width), NO_TAG, np.int16)
    scores = np.full((len(frames), width), np.nan, np.float16)
    for row, frame in enumerate(frames):
        for column, (name, score) in enumerate(frame.items()):
            ids[row, column], scores[row, column] = names.index(name), score
    values = np.zeros((len(frames), 1), np.float16)
    return FrameScores(0.0, hop, hop, ("speech",), values, Tags(ids, scores, hop))


# ---- captions ----


def test_the_listener_who_heard_most_of_it_counts_then_the_latest() -> None:
    later = heard(8, 19, "later", updated_at=NOON + timedelta(hours=1))
    answers = [heard(8, 19, "earlier"), later, heard(10, 15.5, "less"), heard(0, 40, None)]
    assert caption(CUT, answers, {}) == ("later", "human")
    assert caption(CUT, [*answers, heard(9, 21, " all\nof  it ")], {}) == ("all of it", "human")


@pytest.mark.parametrize(
    ("start", "end", "source"), [(10.0, 15.0, "human"), (10.0, 14.999, "none"), (15.0, 60.0, "human"), (0, 9, "none")]
)
def test_words_stand_for_a_cut_of_which_half_was_heard(start: float, end: float, source: str) -> None:
    assert caption(CUT, [heard(start, end, "rain")], {}).source == source


@pytest.mark.parametrize("columns", [{"state": "deleted"}, {"state": "skipped"}, {"caption": "  "}])
def test_an_answer_that_does_not_count_says_nothing(columns: dict[str, Any]) -> None:
    answers = counted([heard(0, 60, "rain", **columns)]).answers
    assert caption(CUT, answers, {}) == ("", "none")


def test_tags_are_the_strongest_over_the_cut_alone() -> None:
    outside, inside = {"Rain": 0.9, "Train": 0.9}, {"Wind": 0.4, "Rain": 0.2, "Bird": 0.3}
    scores = {"yamnet": tagged(yamnet, 5.0, outside, outside, inside, {"Wind": 0.6}, outside)}
    assert top_tags(CUT, scores) == ["Wind", "Bird", "Rain"]
    assert caption(CUT, [], scores) == ("Wind, Bird, Rain", "tags")
    assert caption(CUT, [heard(0, 60, "a storm")], scores) == ("a storm", "human")


def test_tags_never_say_what_a_pure_cut_is_without() -> None:
    frame = {"Speech": 0.9, "Music": 0.9, "Singing": 0.9, "Silence": 0.9, "Wind": 0.1, "Bell": 0.04}
    assert top_tags(Segment(0, 1), {"yamnet": tagged(yamnet, 1.0, frame)}) == ["Wind"]


def test_all_taggers_count_alike_and_frames_that_nobody_heard_do_not() -> None:
    ours = tagged(yamnet, 1.0, {"Wind": 0.3, "Rain": 0.12}, {"Wind": 0.3})
    theirs = tagged(audioset, 1.0, {"Rain": 0.9}, {})
    assert top_tags(Segment(0, 2), {"yamnet": ours, "panns_clip": theirs}) == ["Rain", "Wind"]
    # (0.12 / 2 + 0.9) / 2 against 0.3 / 2
    assert top_tags(Segment(0, 2), {"yamnet": ours}) == ["Wind", "Rain"]
    assert top_tags(Segment(1, 2), {"panns_clip": theirs}) == []
    faint = tagged(yamnet, 1.0, {"Wind": 0.08}, {"Wind": 0.08})  # 0.04 of two
    assert top_tags(Segment(0, 2), {"yamnet": faint, "panns_clip": theirs}) == ["Rain"]


# ---- splits ----


def copy(one: str, kept: str) -> Duplicate:
    return Duplicate(recording_id=one, kept_id=kept, method="audio", offset=0.0, start=0.0, end=10.0)


def of_channel(recording: str, channel: str | None) -> Source:
    return Source(source_id=recording, uri=recording, recording_id=recording, origin="folder", channel=channel)


def test_copies_and_channels_make_families() -> None:
    sources = [of_channel("a", "one"), of_channel("b", "one"), of_channel("c", None), of_channel("d", "two")]
    families = family("abcde", [copy("c", "b")], sources)
    assert families["a"] == families["b"] == families["c"] == "channel one"
    assert families["d"] == "channel two" and families["e"] == "recording e"
    assert len({split_of(families, name) for name in "abc"}) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=12),
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), max_size=8),
    st.randoms(use_true_random=False),
)
def test_families_do_not_depend_on_the_order(
    copies: list[tuple[str, str]], channels: list[tuple[str, str]], rng: Any
) -> None:
    rows, sources = [copy(*pair) for pair in copies], [of_channel(*pair) for pair in channels]
    first = family("abcdefgh", rows, sources)
    for one, other in copies:
        assert first[one] == first[other]
    rng.shuffle(rows)
    rng.shuffle(sources)
    assert family("hgfedcba", rows, sources) == first


def test_one_in_ten_is_held_out() -> None:
    families = {str(n): f"recording {n}" for n in range(4000)}
    sides = [split_of(families, name) for name in families]
    assert 0.035 < sides.count("test") / 4000 < 0.065 and 0.035 < sides.count("val") / 4000 < 0.065


# ---- cuts ----


def test_the_second_of_two_that_are_the_same_is_left_out(tmp_path: Path) -> None:
    media = tmp_path / "media"
    film(media / "a.wav", 30, seed=1, video=False)
    film(media / "b.wav", 30, seed=2, video=False)
    corpus = corpus_of(tmp_path / "corpus", media, {"a.wav": [(0.0, 20.0)], "b.wav": [(0.0, 10.0), (12.0, 24.0)]})
    rows = {row.uri[-5:]: row.recording_id for row in corpus.rows(Recording)}
    recipe = load_recipe("packaged")
    setup = setup_of(corpus, recipe)

    def problems(offset: float, end: float) -> list[tuple[float, str | None]]:
        shared = replace(copy(rows["b.wav"], rows["a.wav"]), offset=offset, end=end, method="picture")
        corpus.replace("duplicates", [shared])
        wanted = [one for one in planned_cuts(corpus, recipe, setup) if one.recording.recording_id == rows["b.wav"]]
        assert len({one.split for one in planned_cuts(corpus, recipe, setup)}) == 1
        return [(one.cut.start, one.problem and one.problem[0]) for one in wanted]

    assert problems(10.0, 30.0) == [(0.0, "duplicate"), (12.0, None)]  # 10 to 20, and 22 to 34: only 20 are accepted
    assert problems(10.0, 4.9) == [(0.0, None), (12.0, None)]
    assert problems(-4.0, 30.0) == [(0.0, "duplicate"), (12.0, "duplicate")]
    assert problems(18.0, 30.0) == [(0.0, None), (12.0, None)]


def test_a_copy_that_shares_less_than_floats_lie_apart_is_no_twin(tmp_path: Path) -> None:
    """Moved by the offset, nothing is left of it: that once ended the extraction."""
    media = tmp_path / "media"
    film(media / "a.wav", 30, seed=1, video=False)
    film(media / "b.wav", 30, seed=2, video=False)
    corpus = corpus_of(tmp_path / "corpus", media, {"a.wav": [(0.0, 20.0)], "b.wav": [(0.0, 10.0)]})
    rows = {row.uri[-5:]: row.recording_id for row in corpus.rows(Recording)}
    shared = replace(
        copy(rows["b.wav"], rows["a.wav"]), start=math.nextafter(10.0, 0.0), end=25.0, offset=100.0, method="picture"
    )
    corpus.replace("duplicates", [shared])
    recipe = load_recipe("packaged")
    assert {one.problem for one in planned_cuts(corpus, recipe, setup_of(corpus, recipe))} == {None}
