from __future__ import annotations

import re
from itertools import combinations

from manifests.labels import load_labels


def test_the_vocabulary_is_the_agreed_one() -> None:
    labels = load_labels()
    assert labels.names == ("sfx", "speech", "singing", "music", "noise", "artifact", "silence")
    assert labels.contaminants == ("speech", "singing", "music")
    assert {sound: entry.label for sound, entry in labels.counts_as.items()} == {
        "laughter": "sfx",
        "crying": "sfx",
        "screaming": "sfx",
        "animal_cries": "sfx",
        "cheering": "sfx",
        "crowd_murmur": "speech",
        "public_address": "speech",
        "radio": "speech",
        "radio_music": "music",
        "bells": "sfx",
        "alarms": "sfx",
        "humming": "singing",
        "whistling": "music",
    }


def test_labels_can_be_told_apart_on_a_page() -> None:
    labels = list(load_labels())
    assert all(label.description for label in labels)
    assert all(entry.reason for entry in load_labels().counts_as.values())
    assert len({label.hotkey for label in labels}) == len(labels)
    colours = [bytes.fromhex(re.fullmatch(r"#([0-9A-F]{6})", label.colour)[1]) for label in labels]  # type: ignore[index]
    for one, other in combinations(colours, 2):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 60


def test_a_label_is_found_by_name() -> None:
    assert load_labels()["music"].contaminant
    assert load_labels() is load_labels()
