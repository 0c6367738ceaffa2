"""Copies are found where they are, and what only resembles is not: from samples and pictures to matches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support.duplicate_signals as make
from curation.duplicates import (
    FPS,
    RATE,
    AudioFingerprinter,
    Fingerprint,
    Match,
    VideoFingerprinter,
    find_matches,
    new_fingerprint,
    open_index,
    version,
    write_index,
)
from curation.duplicates.align import differing, moving_mean
from curation.duplicates.fingerprint import pack, signs, weak_signs
from curation.duplicates.index import key_of
from curation.media import audio_blocks, frames, write_media

SOUNDS: list[Callable[..., Any]] = [make.noise, make.chirps, make.clicks]
CODECS = [
    ("aac", ".m4a", 44_100, 32_000),
    ("libmp3lame", ".mp3", 22_050, 40_000),
    ("libopus", ".ogg", 48_000, 24_000),
]
FIRST = 4.0317  # of an excerpt: its words fall between those of the original


def one_match(found: list[Match]) -> Match:
    assert len(found) == 1, found
    return found[0]


def check(match: Match, start: float, end: float, offset: float) -> None:
    """Ends to 0.3 s, the offset to half a word."""
    assert match.offset == pytest.approx(offset, abs=0.03)
    assert match.start == pytest.approx(start, abs=0.3)
    assert match.end == pytest.approx(end, abs=0.3)
    assert 0.7 < match.similarity <= 1.0


# words


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 60_000), max_size=12))
def test_words_do_not_depend_on_the_pieces(sizes: list[int]) -> None:
    sound = make.chirps(20)
    printer = AudioFingerprinter()
    for size in sizes:
        printer.push(sound[:size])
        sound = sound[size:]
    printer.push(sound)
    assert np.array_equal(printer.finish(), make.sound_print("a", make.chirps(20)).words)


def test_words_come_at_the_hop_that_their_kind_names() -> None:
    sound = make.sound_print("a", make.noise(60))
    film = make.film_print("a", make.film(60))
    for one, hop, window in ((sound, 0.064, 0.96), (film, 0.125, 1.0)):
        assert one.hop == hop
        assert one.begin == 0 and one.start == window / 2
        assert one.end == pytest.approx(60, abs=hop)
        assert len(one.words) * hop == pytest.approx(60 - window, abs=2 * hop)
    assert sound.words.nbytes * 60 < 1e6  # an hour


@pytest.mark.parametrize("seconds", [0, 0.5, 0.9])
def test_less_than_a_window_has_no_words(seconds: float) -> None:
    assert len(make.sound_print("a", make.noise(seconds)).words) == 0
    assert len(make.film_print("a", make.film(seconds)).words) == 0


@pytest.mark.parametrize("samples", [make.silence(20), 0.5 + make.silence(20), make.hum(20)], ids=["0", "dc", "hum"])
def test_silence_and_steady_tones_say_nothing(samples: Any) -> None:
    words = make.sound_print("a", samples).words
    assert len(words) > 290
    assert not make.sound_print("a", make.noise(20, 1, 3e-6)).words.any()  # less than the dither of 16 bits
    assert not words[16:-16].any()  # where it begins and ends, it does


def test_a_still_picture_says_nothing() -> None:
    still = np.repeat(make.film(1)[:1], 80, axis=0)
    assert not make.film_print("a", still).words.any()
    grain = np.random.default_rng(0).integers(-4, 5, still.shape)  # of a codec, or of a camera
    assert not make.film_print("a", (still + grain).clip(0, 255).astype(np.uint8)).words.any()


def test_level_and_faint_hiss_hardly_change_words() -> None:
    sound = make.chirps(20)
    one = make.sound_print("a", sound).words
    other = make.sound_print("a", 0.8 * sound + make.noise(20, 5, 1e-4)).words
    sure = ~(weak_signs(one) | weak_signs(other))
    assert np.bitwise_count((signs(one) ^ signs(other)) & sure).sum() < 0.02 * np.bitwise_count(sure).sum()


def test_a_word_holds_the_signs_and_the_six_weakest() -> None:
    differences = np.array([[*range(1, 17), *range(-17, -33, -1)], [0.01] * 32], np.float32)
    words = pack(differences, floor=0.1)
    assert signs(words)[0] == 0xFFFF
    assert weak_signs(words)[0] == 0b111111
    assert words[1] == 0


def test_wrong_input_is_refused_with_what_it_should_be() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 100\), must be \(n,\)"):
        AudioFingerprinter().push(np.zeros((2, 100), np.float32))
    with pytest.raises(ValueError, match="must be RGB of uint8"):
        VideoFingerprinter().push(0.0, np.zeros((90, 160), np.uint8))
    printer = VideoFingerprinter()
    printer.push(5.0, np.zeros((90, 160, 3), np.uint8))
    with pytest.raises(ValueError, match=r"image at 5\.250 s, expected one at 5\.125 s"):
        printer.push(5.25, np.zeros((90, 160, 3), np.uint8))
    with pytest.raises(ValueError, match=r"hop is 0\.125 s, must be 0\.064 s for kind audio"):
        Fingerprint("a", "a", "audio", 0.0, 0.125, np.zeros(3, np.uint64))
    assert version("audio") != version("picture")


# copies


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize(("codec", "suffix", "rate", "bitrate"), CODECS, ids=[c[0] for c in CODECS])
def test_an_encoded_excerpt_is_found(
    sound: Callable[..., Any], codec: str, suffix: str, rate: int, bitrate: int, tmp_path: Path
) -> None:
    original = sound(40)
    part = 0.8 * original[round(FIRST * RATE) : round(29.5 * RATE)]
    path = tmp_path / f"copy{suffix}"
    audio = make.resampled(part, RATE, rate)
    write_media(path, audio=[audio[np.newaxis]], sample_rate=rate, audio_codec=codec, audio_bitrate=bitrate)
    decoded = np.concatenate([block.mono[RATE] for block in audio_blocks(path, (RATE,))])
    match = one_match(make.matches_among([make.sound_print("a", original), make.sound_print("b", decoded)]))
    assert (match.recording_id, match.other_id, match.kind) == ("a", "b", "audio")
    check(match, FIRST, 29.5, -FIRST)


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_a_resampled_part_inside_other_sound_is_found(sound: Callable[..., Any], rate: int) -> None:
    original = sound(40)
    part = make.resampled(make.resampled(original[10 * RATE : 30 * RATE], RATE, rate), rate, RATE)
    other = np.concatenate([make.noise(7.013, 50), part, make.chirps(12, 51)])
    match = one_match(make.matches_among([make.sound_print("a", original), make.sound_print("b", other)]))
    check(match, 10, 30, 7.013 - 10)


def test_silence_between_sounds_does_not_end_a_match() -> None:
    barks = np.concatenate([np.concatenate([make.clicks(3, seed), make.silence(9)]) for seed in range(6)])[: 63 * RATE]
    match = one_match(
        make.matches_among([make.sound_print("a", barks), make.sound_print("b", 0.5 * barks[5 * RATE // 10 :])])
    )
    check(match, 0.5, 63, -0.5)


def test_what_was_cut_out_in_the_middle_gives_two_matches() -> None:
    original = make.noise(60)
    other = np.concatenate([original[: 20 * RATE], original[35 * RATE :]])
    first, second = make.matches_among([make.sound_print("a", original), make.sound_print("b", other)])
    check(first, 0, 20, 0)
    check(second, 35, 60, -15)


def test_a_loop_of_ten_seconds_is_evidence_enough() -> None:
    loop = np.tile(make.noise(10, 1), 3)
    found = make.matches_among([make.sound_print("a", loop), make.sound_print("b", 0.7 * loop)])
    assert any(m.end - m.start > 29.5 and abs(m.offset) < 0.02 for m in found)


def test_the_copy_of_a_ticking_clock_is_found() -> None:
    clock = make.clicks(60, 1, period=1.0, floor=0.01)
    match = max(
        make.matches_among([make.sound_print("a", clock), make.sound_print("b", 0.8 * clock[20 * RATE :])]),
        key=lambda m: m.end - m.start,
    )
    check(match, 20, 60, -20)


# strangers


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((sound(60, 1), sound(60, 2)) for sound in SOUNDS),
        (make.hum(60), make.hum(50)),
        (make.hum(60) + make.noise(60, 1, 0.01), make.hum(60) + make.noise(60, 2, 0.01)),
        (make.silence(60), make.silence(60)),
        (make.clicks(60, 1, period=1.0), make.clicks(60, 2, period=1.0)),
    ],
    ids=["noise", "chirps", "clicks", "hum", "noisy hum", "silence", "equal ticks"],
)
def test_two_recordings_of_a_kind_do_not_match(one: Any, other: Any) -> None:
    assert make.matches_among([make.sound_print("a", one), make.sound_print("b", other)]) == []


def test_a_looped_bed_of_five_seconds_is_no_evidence() -> None:
    bed = make.noise(5, 1)
    one, other = np.tile(bed, 12), np.tile(0.9 * bed, 10)[2 * RATE + 100 :]
    assert make.matches_among([make.sound_print("a", one), make.sound_print("b", other)]) == []


def test_the_same_bed_under_different_sounds_is_no_evidence() -> None:
    one = np.tile(make.noise(5, 1), 12) + make.chirps(60, 2)
    other = np.tile(make.noise(5, 1), 12) + make.chirps(60, 3)
    assert make.matches_among([make.sound_print("a", one), make.sound_print("b", other)]) == []


def test_a_short_shared_sample_is_no_match() -> None:
    sample = make.chirps(6, 1)
    one = np.concatenate([make.noise(20, 2), sample, make.noise(20, 3)])
    other = np.concatenate([make.noise(8, 4), sample, make.noise(30, 5)])
    assert make.matches_among([make.sound_print("a", one), make.sound_print("b", other)]) == []


# pictures


@pytest.mark.parametrize(
    ("codec", "suffix", "size", "fps", "options"),
    [
        ("libx264", ".mp4", (96, 54), 10, {"crf": "34"}),
        ("mpeg4", ".mkv", (120, 96), 15, {"b": "150000"}),
        ("libvpx", ".webm", (240, 136), 12, {"b": "100000", "deadline": "realtime"}),
    ],
)
def test_a_rescaled_excerpt_is_found(
    codec: str, suffix: str, size: tuple[int, int], fps: int, options: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / f"copy{suffix}"
    part = make.film(40, size=size, fps=fps)[5 * fps : 30 * fps]
    write_media(path, frames=part, fps=fps, video_codec=codec, video_options=options)
    copy = (frame.image for frame in frames(path, FPS, size=(160, 90)))
    match = one_match(make.matches_among([make.film_print("a", make.film(40)), make.film_print("b", copy)]))
    assert (match.recording_id, match.other_id, match.kind) == ("a", "b", "picture")
    assert match.offset == pytest.approx(-5, abs=0.15)
    assert match.start == pytest.approx(5, abs=1) and match.end == pytest.approx(30, abs=1)


def test_a_recut_film_gives_a_match_for_each_piece() -> None:
    original = make.film(60)
    recut = np.concatenate([original[40 * FPS :], original[: 20 * FPS]])
    first, second = make.matches_among([make.film_print("a", original), make.film_print("b", recut)])
    assert [first.offset, second.offset] == pytest.approx([20, -40], abs=0.03)


def test_a_span_of_a_film_keeps_its_place() -> None:
    original = make.film(80)
    span = make.film_print("b", original[30 * FPS : 60 * FPS], begin=100.0)
    match = one_match(make.matches_among([make.film_print("a", original), span]))
    assert match.offset == pytest.approx(70, abs=0.03)
    assert match.start == pytest.approx(30, abs=0.5) and match.end == pytest.approx(60, abs=0.5)


def test_other_films_do_not_match() -> None:
    assert make.matches_among([make.film_print("a", make.film(60, 1)), make.film_print("b", make.film(60, 2))]) == []


# the search as a whole


def several() -> list[Fingerprint]:
    """Two pairs of copies, a stranger, and two items of one recording with the same sound."""
    rain, birds = make.noise(30, 1), make.chirps(40, 2)
    again = make.sound_print("rain", rain)
    return [
        make.sound_print("rain", rain),
        make.sound_print("copy of rain", rain[3 * RATE :]),
        make.sound_print("birds", birds),
        make.sound_print("copy of birds", 0.5 * birds[: 25 * RATE]),
        make.sound_print("stranger", make.clicks(30, 3)),
        new_fingerprint("rain/again", "rain", "audio", 0.0, again.words),
    ]


def test_each_pair_comes_once_ordered_and_never_a_recording_with_itself() -> None:
    prints = several()
    found = make.matches_among(prints)
    assert [(m.recording_id, m.other_id) for m in found] == [("birds", "copy of birds"), ("copy of rain", "rain")]
    assert found == sorted(found)
    assert make.matches_among(prints[::-1]) == found


def test_whichever_of_two_is_new_they_match_alike() -> None:
    prints = several()
    whole = make.matches_among(prints)
    for new in ([prints[0]], [prints[1]]):
        assert make.matches_among(prints, new) == [m for m in whole if m.other_id == "rain"]


@pytest.mark.parametrize("cuts", [[3], [1, 2, 3, 4, 5], [0, 6]])
def test_how_items_are_spread_over_parts_does_not_matter(cuts: list[int], tmp_path: Path) -> None:
    prints = several()
    parts = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(prints)], strict=True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_index(folder, prints[first:last])
        parts.append(open_index(folder))
    known = {one.item: one for one in prints}
    assert find_matches(prints, parts, known.__getitem__) == make.matches_among(prints)


def test_a_kind_never_matches_the_other() -> None:
    sound = make.sound_print("a", make.noise(30))
    assert make.matches_among([sound, new_fingerprint("b", "b", "picture", 0.0, sound.words)]) == []
    # words whose keys are those of the sound
    keys = {kind: key_of(np.zeros(1, np.uint32), kind)[0] for kind in ("audio", "picture")}
    assert keys["audio"] != keys["picture"]
    apart = np.uint64(0x9E3779B9 ^ (2 * 0x9E3779B9 & 0xFFFFFFFF))
    film = new_fingerprint("b", "b", "picture", 0.0, sound.words ^ apart)
    assert np.array_equal(key_of(signs(film.words), "picture"), key_of(signs(sound.words), "audio"))
    assert make.matches_among([sound, film]) == []


def test_nothing_matches_nothing() -> None:
    nothing: dict[str, Fingerprint] = {}
    assert find_matches([], [], nothing.__getitem__) == []
    assert make.matches_among([make.sound_print("a", make.noise(0.1)), make.sound_print("b", make.noise(30))]) == []


def test_only_items_that_may_match_are_loaded(tmp_path: Path) -> None:
    prints = several()
    loaded = []

    class Words(dict[str, Fingerprint]):
        def __getitem__(self, item: str) -> Fingerprint:
            loaded.append(item)
            return super().__getitem__(item)

    known = Words({one.item: one for one in prints})
    write_index(tmp_path, prints)
    find_matches([prints[0]], [open_index(tmp_path)], known.__getitem__)
    assert set(loaded) <= {"rain/audio", "copy of rain/audio"}


def test_a_word_beside_none_differs_in_half_of_its_signs() -> None:
    weak = 0b111111 << 32
    one = np.array([weak, weak, weak, 0], np.uint64)
    other = np.array([weak | 0b11000000, weak | 0b11, 0, 0], np.uint64)  # the lowest six are uncertain
    errors, compared = differing(one, other)
    assert errors.tolist() == [2, 0, 13, 0]
    assert compared.tolist() == [26, 26, 26, 0]


def test_moving_mean_of_a_step_is_a_ramp() -> None:
    step = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
    assert moving_mean(step, 4).tolist() == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
