"""AudioSet's classes as PANNs count them."""

from __future__ import annotations

import numpy as np

from curation.detectors import audioset, yamnet


def members(groups: dict[str, tuple[tuple[int, int], ...]], names: tuple[str, ...], group: str) -> set[str]:
    return {names[i] for first, last in groups[group] for i in range(first, last + 1)}


def test_the_names_are_those_of_the_527_classes() -> None:
    names = audioset.class_names()
    assert len(names) == len(set(names)) == audioset.CLASSES
    # from class_labels_indices.csv
    known = {0: "Speech", 1: "Male speech, man speaking", 3: "Child speech, kid speaking", 12: "Battle cry"}
    known |= {27: "Singing", 32: "Male singing", 34: "Child singing", 72: "Animal", 137: "Music", 200: "Bell"}
    known |= {277: "Funny music", 278: "Sad music", 283: "Wind", 300: "Vehicle", 354: "Door", 426: "Explosion"}
    known |= {500: "Silence", 526: "Field recording"}
    assert {index: names[index] for index in known} == known


def test_every_class_of_yamnet_is_in_the_same_group() -> None:
    assert list(audioset.GROUPS) == list(yamnet.GROUPS)
    ours, theirs = audioset.class_names(), yamnet.class_names()
    more: set[str] = set()
    for group in yamnet.GROUPS:
        mine = members(dict(audioset.GROUPS), ours, group)
        yours = members(dict(yamnet.GROUPS), theirs, group)
        assert yours <= mine
        more |= mine - yours
    assert more == set(audioset.NOT_IN_YAMNET.values())
    assert members(dict(audioset.GROUPS), ours, "speech") >= {ours[1], ours[2]}
    assert members(dict(audioset.GROUPS), ours, "singing") >= {ours[32], ours[33]}
    assert ours[277] in members(dict(audioset.GROUPS), ours, "music")
    assert ours[12] in members(dict(audioset.GROUPS), ours, "voice")


def test_lanes_are_maxima_and_tags_the_strongest() -> None:
    probabilities = np.full((2, 527), 0.01, np.float32)
    probabilities[0, [137, 15, 206]] = 0.75, 0.5, 0.25
    lanes = audioset.group_maxima(probabilities)
    row = dict(zip(audioset.GROUPS, lanes[0].tolist(), strict=True))
    assert (row["music"], row["speech"], row["bells"]) == (0.75, 0.5, 0.25)
    assert lanes.dtype == np.float16 and lanes[1].max() < 0.02
    tags = audioset.top_tags(probabilities, 1.0)
    assert tags.ids[0, :3].tolist() == [137, 15, 206] and tags.ids.shape == (2, audioset.TOP) and tags.hop == 1.0
    assert tags.scores[0, :3].tolist() == [0.75, 0.5, 0.25]
