"""Scenes: levels as asked, labels where the sound is, the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from curation.detectors.purity.frontend import HOP
from curation.purity.mixing.draw import Drawer
from curation.purity.mixing.levels import decibels, frame_powers
from curation.purity.mixing.scene import LABELS, Event, MixRules, make_bed, mixed, scene
from curation.purity.sources.pool import RATE, Kind, Pool

PLAIN = MixRules(band=0.0, clip=0.0, narrow=0.0, codec=0.0, gain_db=(-6.0, -6.0))
FRAMES = 128


@pytest.mark.parametrize("kind", ["speech", "music", "singing"])
@pytest.mark.parametrize("level_db", [-15.0, 6.0])
def test_an_event_has_the_level_and_the_place_that_were_asked_for(pool: Pool, kind: Kind, level_db: float) -> None:
    drawer = Drawer(pool, "train")
    bed, used = make_bed(np.random.default_rng(1), drawer, FRAMES * HOP)
    rng = np.random.default_rng(2)
    event = Event(kind, 40, 90, level_db)
    made = mixed(rng, drawer, bed, used, [event], PLAIN)
    pure = mixed(np.random.default_rng(2), drawer, bed, used, [], PLAIN)
    # the gain of the whole differs with the peak: found again where only the bed is
    gain = float(made.sound[: 30 * HOP] @ pure.sound[: 30 * HOP] / (pure.sound[: 30 * HOP] @ pure.sound[: 30 * HOP]))
    added = made.sound - gain * pure.sound
    present = made.labels.present[:, LABELS.index(kind)] > 0
    assert np.abs(added[: 40 * HOP]).max() < 1e-4 * np.abs(added).max()
    assert present.any() and not present[:40].any() and not present[90:].any()
    powers, under = frame_powers(added, kind, HOP)[present], frame_powers(gain * pure.sound, kind, HOP)[present]
    ratio = float(decibels(np.mean(powers, keepdims=True))[0] - decibels(np.mean(under, keepdims=True))[0])
    assert ratio == pytest.approx(level_db, abs=1.0)
    levels = made.labels.levels[present, LABELS.index(kind)]
    assert np.median(levels) == pytest.approx(level_db, abs=4.0)


def test_pure_scenes_have_no_labels_and_all_weight(pool: Pool) -> None:
    made = scene(np.random.default_rng(3), Drawer(pool, "train"), FRAMES, MixRules(pure=1.0))
    assert not made.labels.present.any()
    assert (made.labels.weights == 1).all()


def test_what_nobody_can_tell_has_no_weight(pool: Pool) -> None:
    drawer = Drawer(pool, "train")
    bed, used = make_bed(np.random.default_rng(1), drawer, FRAMES * HOP)
    made = mixed(np.random.default_rng(2), drawer, bed, used, [Event("music", 0, FRAMES, -40.0)], PLAIN)
    music = LABELS.index("music")
    present = made.labels.present[:, music] > 0
    assert present.sum() > FRAMES / 2
    assert made.labels.weights[present, music].max() < 0.01
    assert (made.labels.weights[:, LABELS.index("speech")] == 1).all()


def test_the_same_seed_gives_the_same_scene_and_another_one_another(pool: Pool) -> None:
    drawer = Drawer(pool, "train")
    first, again, other = (scene(np.random.default_rng([5, i]), drawer, FRAMES, MixRules()) for i in (0, 0, 1))
    assert np.array_equal(first.sound, again.sound)
    assert all(np.array_equal(a, b) for a, b in zip(first.labels, again.labels, strict=True))
    assert not np.array_equal(first.sound, other.sound)


def test_scenes_of_all_chances_are_finite_and_not_silent(pool: Pool) -> None:
    drawer = Drawer(pool, "val")
    rules = MixRules(pure=0.0, band=0.5, clip=0.5, narrow=0.3, codec=0.6)
    seen = set()
    for number in range(12):
        made = scene(np.random.default_rng([7, number]), drawer, FRAMES, rules)
        assert len(made.sound) == FRAMES * HOP
        assert np.isfinite(made.sound).all() and np.abs(made.sound).max() <= 1.5
        assert np.sqrt(np.mean(np.square(made.sound))) > 1e-5
        seen |= {kind for kind, column in zip(LABELS, made.labels.present.T, strict=True) if column.any()}
    assert seen >= {"speech", "music"}


def test_a_drawer_follows_its_split_and_its_factors(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    hard = "traineffects0"
    drawer = Drawer(pool, "train", {hard: 50.0})
    drawn = [pool.sources[drawer.index(rng, "effects")] for _ in range(200)]
    assert {one.split for one in drawn} == {"train"}
    assert not any(one.doubt for one in drawn)
    assert sum(one.sha256 == hard for one in drawn) > 180


def test_codecs_keep_time(pool: Pool) -> None:
    from curation.purity.mixing.codecs import encoded

    time = np.arange(4 * RATE) / RATE
    sound = (0.3 * np.sin(2 * np.pi * (300 + 150 * time) * time)).astype(np.float32)
    for seed in range(4):
        coded = encoded(np.random.default_rng(seed), sound)
        lags = range(-200, 201)
        best = max(lags, key=lambda lag: float(sound[RATE : 3 * RATE] @ coded[RATE + lag : 3 * RATE + lag]))
        assert abs(best) <= 16, seed
