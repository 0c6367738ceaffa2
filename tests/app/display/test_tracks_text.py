"""What people read about the audio tracks of a file."""

from __future__ import annotations

from dataclasses import replace

from app.display.text import tracks_text
from manifests.records import AudioTrack

ONE = AudioTrack(
    index=1, codec="aac", sample_rate=48_000, channels=2, language="", title="", role="", chosen=True, silent=False
)
OTHER = replace(ONE, index=2, chosen=False)


def test_one_track_needs_no_words() -> None:
    assert tracks_text(()) == tracks_text((ONE,)) == ""


def test_several_say_which_is_read_and_what_the_others_are() -> None:
    assert tracks_text((ONE, OTHER)) == "track 1 of 2; not read: 2 (2 channels)"
    comment = replace(OTHER, role="visual_impaired", language="eng", title="For the blind")
    assert tracks_text((comment, replace(ONE, index=3))) == (
        "track 2 of 2; not read: 1 (visual impaired, eng, For the blind)"
    )
    assert tracks_text((ONE, replace(ONE, index=2), replace(OTHER, index=3, silent=True))) == (
        "tracks 1 + 2 of 3; not read: 3 (silent)"
    )
