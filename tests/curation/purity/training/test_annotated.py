"""A corpus's own judgements become sources and examples, with people's labels at the right times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.detectors.purity.frontend import HOP
from curation.media import write_media
from curation.purity.mixing.scene import LABELS, MixRules
from curation.purity.network.network import Output
from curation.purity.sources.pool import RATE, Pool
from curation.purity.training.annotated import Examples, NothingJudgedError, write_judged
from curation.purity.training.data import Batch, Scenes
from curation.purity.training.loop import loss_of
from manifests.records import LabelledSegment, Ruling, Verdict
from manifests.store import Corpus
from tests.support.made_up_scores import recording

SECONDS = 90.0
CUT = (50.0, 56.0)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A recording of noise with a tone at CUT, cleared but for that, and unsure from 80 s on."""
    media = tmp_path / "media"
    media.mkdir()
    time = np.arange(round(SECONDS * RATE)) / RATE
    sound = 0.05 * np.random.default_rng(0).standard_normal(len(time))
    sound += 0.3 * np.sin(2 * np.pi * 440 * time) * ((time >= CUT[0]) & (time < CUT[1]))
    write_media(media / "a.flac", audio=[sound[None].astype(np.float32)], sample_rate=RATE, audio_codec="flac")
    made = Corpus.create(tmp_path / "corpus")
    root = made.add_root(media)
    row = replace(recording(SECONDS), uri=f"{root}:a.flac")
    made.replace("recordings", [row])
    made.append(
        "verdicts", [verdict(row.recording_id, 0.0, 80.0, "keep"), verdict(row.recording_id, 80.0, 90.0, "unsure")]
    )
    return made


def verdict(recording_id: str, start: float, end: float, decision: Ruling) -> Verdict:
    excised = (LabelledSegment(start=CUT[0], end=CUT[1], label="music"),) if decision == "keep" else ()
    return Verdict(
        verdict_id=decision, recording_id=recording_id, start_ms=round(start * 1000), end_ms=round(end * 1000),
        decision=decision, excised=excised, method="single", author="ann", made_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_cleared_time_becomes_sources_and_cut_time_examples(corpus: Corpus, tmp_path: Path) -> None:
    written = write_judged(corpus, tmp_path / "pool", tmp_path / "examples")
    pool = Pool.open(tmp_path / "pool")
    assert [round(one.seconds) for one in pool.sources] == [49, 23]  # a second away from what was cut; nothing unsure
    assert {one.kind for one in pool.sources} == {"effects"} and not written.left_out
    assert written.cut == pytest.approx(6) and written.cleared == pytest.approx(72, abs=0.1)
    split = pool.sources[0].split
    examples = Examples.open(tmp_path / "examples", split)
    for seed in range(5):
        scene = examples.draw(np.random.default_rng(seed), 512)  # 41 s of the 46 s around it
        here = scene.labels.present[:, LABELS.index("music")] > 0
        assert here.sum() == pytest.approx(6 / 0.08, abs=1)
        power = np.mean(np.square(scene.sound.reshape(-1, HOP)), axis=1)
        assert power[here][2:-2].min() > 5 * power[~here].max() / 2
        assert not scene.labels.present[:, LABELS.index("speech")].any()
        assert scene.labels.weights.max() == 1


def test_an_example_counts_where_people_judged_and_has_no_levels(corpus: Corpus, tmp_path: Path) -> None:
    write_judged(corpus, tmp_path / "pool", tmp_path / "examples")
    split = Pool.open(tmp_path / "pool").sources[0].split
    scenes = Scenes(tmp_path / "pool", split, 1, 512, 2, MixRules(), {}, 0, tmp_path / "examples", 1.0)
    mel, fine, labels = scenes[0]
    assert mel.shape == (512 * 8, 64) and fine.shape[0] == 512
    parts = [torch.from_numpy(part)[None] for part in labels]
    zeros = torch.zeros_like(parts[0])
    batch = Batch(torch.zeros(1), torch.zeros(1), *parts)
    assert torch.isfinite(loss_of(Output(zeros, zeros + 5), batch, 1.0))
    assert float(loss_of(Output(zeros, zeros + 5), batch, 1.0)) == float(loss_of(Output(zeros, zeros), batch, 0.0))


def test_without_judgements_and_without_media_the_cure_is_named(corpus: Corpus, tmp_path: Path) -> None:
    empty = Corpus.create(tmp_path / "empty")
    with pytest.raises(NothingJudgedError, match=r"no verdicts\); annotate or review cuts first"):
        write_judged(empty, tmp_path / "pool", tmp_path / "examples")
    (tmp_path / "media/a.flac").unlink()
    with pytest.raises(NothingJudgedError, match=r"a\.flac"):
        write_judged(corpus, tmp_path / "pool", tmp_path / "examples")
