"""MIDI: what is written is read again, variations change what they name, damaged files are refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.purity.sources.synthesis.composing import SOLO, band_piece, chord_sheet, melody, plan, solo_piece
from curation.purity.sources.synthesis.midi import DRUMS, TICKS, MidiError, Note, Song, read_song, song_of
from curation.purity.sources.synthesis.music import SECONDS, family, held_out, lumps, packaged_song, split_of, varied

notes = st.lists(
    st.builds(Note, st.floats(0, 50), st.floats(0.01, 8), st.integers(0, 127), st.integers(1, 127)), max_size=8
)


def pitches(song: Song, channel: int = 0) -> list[int]:
    return [e.data[1] for e in song.events if e.kind == 9 and e.data[2] and e.channel == channel]


@settings(max_examples=20)
@given(notes, st.floats(30, 240))
def test_a_written_song_is_read_again(some: list[Note], tempo: float) -> None:
    song = song_of({0: (5, some), DRUMS: (0, some[:3])}, tempo)
    again = read_song(song.to_bytes())
    assert again == song
    end = max((max(round(n.start * TICKS) + 1, round((n.start + n.length) * TICKS)) for n in some), default=0)
    assert again.seconds() == pytest.approx(end / TICKS * 60 / tempo, rel=1e-3, abs=1e-6)


def test_variations_change_what_they_name() -> None:
    song = song_of({0: (0, [Note(0, 1, 60), Note(1, 1, 127)]), DRUMS: (0, [Note(0, 1, 36)])}, 120)
    assert pitches(song.transposed(3)) == [63]  # 130 is no note
    assert pitches(song.transposed(3), DRUMS) == [36]
    assert song.without({DRUMS}).channels() == (0,)
    assert song.faster(2).seconds() == pytest.approx(song.seconds() / 2)
    programs = [e.data[1] for e in song.with_programs({0: 40}).events if e.kind == 12 and e.channel == 0]
    assert programs == [40]


def test_a_part_keeps_earlier_programs_and_ends_its_notes() -> None:
    song = song_of({0: (7, [Note(k, 1.5, 60 + k) for k in range(10)])}, 60)
    part = song.part(3.9, 2.0)
    assert pitches(part) == [64, 65]
    assert [e.data[1] for e in part.events if e.kind == 12] == [7]
    sounding: set[int] = set()
    for event in part.events:
        if event.kind in (8, 9):
            (sounding.add if event.kind == 9 and event.data[2] else sounding.discard)(event.data[1])
    assert sounding == set()
    assert part.seconds() <= 2.1


def test_running_status_meta_events_and_two_tracks_are_read() -> None:
    tempo = b"\x00\xff\x51\x03\x0f\x42\x40"  # one second per beat
    first = tempo + b"\x00\xff\x03\x02hi" + b"\x00\xff\x2f\x00"
    second = b"\x00\xc0\x05\x00\x90\x3c\x64\x60\x3c\x00\x81\x00\xf0\x01\xf7\x00\x90\x40\x64\x00\xff\x2f\x00"
    data = b"MThd" + struct.pack(">IHHH", 6, 1, 2, 96)
    for track in (first, second):
        data += b"MTrk" + struct.pack(">I", len(track)) + track
    song = read_song(data)
    assert [(round(t, 3), e.data) for t, e in song.timed() if e.kind == 9] == [
        (0.0, b"\x90\x3c\x64"), (1.0, b"\x90\x3c\x00"), (2.333, b"\x90\x40\x64"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"RIFF0000", "does not begin with MThd"),
        (b"MThd" + struct.pack(">IHHH", 6, 0, 1, 0xE728), "ticks per beat"),
        (b"MThd\x00", "damaged"),
        (b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk\x00\x00\x00\x03\x00\x90\x3c", "damaged"),
        (b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk\x00\x00\x00\x02\x00\x3c", "without its status"),
    ],
)
def test_a_damaged_file_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(MidiError, match=reason):
        read_song(data)


@settings(max_examples=40)
@given(st.binary(max_size=60))
def test_random_bytes_give_a_song_or_a_midi_error(tail: bytes) -> None:
    data = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", len(tail)) + tail
    try:
        read_song(data)
    except MidiError:
        return


def test_a_melody_has_chord_notes_on_the_beat_and_returns() -> None:
    for seed in range(6):
        piece = plan(np.random.default_rng(seed), 40.0)
        tune = melody(np.random.default_rng(seed), piece, rests=0.0)
        on_beat = [n for n in tune if n.start % piece.beats == 0]
        for note in on_beat:
            bar = int(note.start // piece.beats)
            assert note.pitch % 12 in {piece.pitch(s) % 12 for s in piece.chord(bar)}
        assert len(on_beat) > 4
        assert max(n.pitch for n in tune) - min(n.pitch for n in tune) <= 21
        rounded = [round(n.start % (4 * piece.beats), 2) for n in tune]
        assert len(set(rounded)) < len(rounded)
        assert piece.seconds == pytest.approx(40, rel=0.35)


def test_pieces_follow_from_their_seed_and_have_their_parts() -> None:
    one, same, other = (
        solo_piece(np.random.default_rng(s), plan(np.random.default_rng(1), 30), "flute") for s in (4, 4, 5)
    )
    assert one == same != other
    assert one.channels() == (0,)
    assert {e.data[1] for e in one.events if e.kind == 12} <= set(SOLO["flute"])
    assert {
        len(band_piece(np.random.default_rng(s), plan(np.random.default_rng(s), 25)).channels()) for s in range(8)
    } == {3, 4, 5}


def test_a_chord_sheet_names_a_groove_a_tempo_and_a_chord_per_bar() -> None:
    piece = plan(np.random.default_rng(2), 30.0)
    lines = chord_sheet(np.random.default_rng(2), piece, "Bossa", 17).splitlines()
    assert lines[:3] == ["RndSeed 17", f"Tempo {round(piece.tempo)}", "Groove Bossa"]
    assert len(lines) == 3 + len(piece.chords)


def test_songs_inside_packages_are_cut_and_varied() -> None:
    song = song_of({c: (c, [Note(k, 1, 60) for k in range(0, 300, 4)]) for c in (0, 1, 2)}, 120)
    part = packaged_song(song.to_bytes(), 3)
    assert SECONDS[0] * 0.8 < part.seconds() < SECONDS[1] * 1.25
    assert part == packaged_song(song.to_bytes(), 3) != packaged_song(song.to_bytes(), 4)
    assert all(varied(np.random.default_rng(s), song).channels() for s in range(12))  # no variation is empty


def test_the_midi_files_of_a_wad_are_found() -> None:
    song = song_of({0: (0, [Note(0, 1, 60)])}, 120).to_bytes()
    parts = [("D_E1M1", song), ("PLAYPAL", b"palette"), ("D_E1M2", song)]
    body = b"".join(data for _, data in parts)
    index, place = b"", 12
    for name, data in parts:
        index += struct.pack("<II8s", place, len(data), name.encode())
        place += len(data)
    wad = b"IWAD" + struct.pack("<II", len(parts), 12 + len(body)) + body + index
    assert lumps(wad) == [("d_e1m1", song), ("d_e1m2", song)]
    with pytest.raises(MidiError, match="not a WAD"):
        lumps(b"PK" + wad)
    with pytest.raises(MidiError, match="damaged WAD"):
        lumps(wad[:-1])


def test_styles_are_held_out_whole() -> None:
    assert family("16Beat07") == family("16BeatBallad3")[:6] == "16beat"
    styles = [f"style{k}" for k in range(2000)]
    assert 0.07 < np.mean([held_out(style) for style in styles]) < 0.13
    for style in styles:
        assert held_out(style) == (split_of(style) != "train")
    assert 60 < sum(split_of(style) == "test" for style in styles) < 140
