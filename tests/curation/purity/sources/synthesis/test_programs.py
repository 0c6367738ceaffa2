"""The outside programs: fluidsynth, MMA, openmpt123, eSpeak NG and flite, where they are installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from curation.purity.sources.pool import RATE
from curation.purity.sources.synthesis.midi import Note, read_song, song_of
from curation.purity.sources.synthesis.music import accompaniment_song, family, grooves
from curation.purity.sources.synthesis.programs import (
    Places,
    SynthesisError,
    accompanied_midi,
    program,
    rendered_midi,
    rendered_module,
    run,
)
from curation.purity.sources.synthesis.signals import Wave
from curation.purity.sources.synthesis.voices import Speaker, spoken


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def peak(x: Wave) -> float:
    return float(np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 17)).argmax() * RATE / (1 << 17))


@needs("fluidsynth")
@pytest.mark.skipif(not Places().has("TimGM6mb.sf2"), reason="timgm6mb-soundfont is not installed")
def test_a_note_is_rendered_at_its_pitch_and_time() -> None:
    midi = song_of({0: (73, [Note(2, 2, 81)])}, 120).to_bytes()  # a flute's A5 after one second
    sound = rendered_midi(midi, Places().file("TimGM6mb.sf2", "timgm6mb-soundfont"), reverb=0.0)
    assert np.abs(sound[: round(0.95 * RATE)]).max() < 0.01 * np.abs(sound).max()
    assert peak(sound[round(1.2 * RATE) : round(1.9 * RATE)]) == pytest.approx(880, rel=0.01)


@needs("mma")
def test_an_accompaniment_follows_its_chords_and_its_seed() -> None:
    song = read_song(accompanied_midi("RndSeed 3\nTempo 120\nGroove Polka\n1 C\n2 C\n3 C\n4 C\n"))
    played = [e.data[1] % 12 for e in song.events if e.kind == 9 and e.data[2] and e.channel != 9]
    assert np.isin(played, [0, 4, 7]).mean() > 0.8 and set(played) >= {0, 4, 7}
    names = grooves(Places())
    assert len(names) > 300 and "BossaNova" in names and len({family(name) for name in names}) > 100
    assert accompaniment_song("BossaNova", 5) == accompaniment_song("BossaNova", 5)
    with pytest.raises(SynthesisError, match="mma failed: "):
        accompanied_midi("Groove NoSuchGroove\n1 C\n")


@needs("openmpt123")
def test_a_module_is_rendered(tmp_path: Path) -> None:
    wave = bytes([100] * 16 + [156] * 16)  # a square wave of 32 bytes, which is repeated
    sample = b"square".ljust(22, b"\0") + bytes([0, 16, 0, 64, 0, 0, 0, 16])
    header = b"test".ljust(20, b"\0") + sample + bytes(30) * 30 + bytes([1, 127]) + bytes(128) + b"M.K."
    note = bytes([(428 >> 8), 428 & 255, 0x10, 0])  # C-2: 8287 samples per second
    pattern = (note + bytes(12)) + bytes(16) * 63
    path = tmp_path / "tune.mod"
    path.write_bytes(header + pattern + wave)
    sound = rendered_module(path)
    assert 6 * RATE < len(sound) < 9 * RATE
    assert peak(sound[RATE : 2 * RATE]) == pytest.approx(8287 / 32, rel=0.02)


@needs("espeak-ng")
def test_a_voice_speaks_and_repeats_itself() -> None:
    who = Speaker("espeak-ng", "f2", "de")
    one, same = (spoken(np.random.default_rng(1), who, "alle Menschen sind frei") for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert 0.8 * RATE < len(one) < 4 * RATE
    assert len(spoken(np.random.default_rng(1), who, "alle Menschen sind frei " * 3)) > 2 * len(one)


@needs("flite")
def test_flite_speaks() -> None:
    assert len(spoken(np.random.default_rng(1), Speaker("flite", "slt", "en-us"), "free and equal")) > RATE // 2


def test_a_missing_program_or_file_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="no-such-program is missing; install it with: apt-get install x"):
        program("no-such-program", "apt-get install x")
    with pytest.raises(SynthesisError, match="apt-get install fluid-soundfont-gm"):
        Places((tmp_path,)).file("FluidR3_GM.sf2", "fluid-soundfont-gm")
    with pytest.raises(SynthesisError, match="sh failed: broken"):
        run(["/bin/sh", "-c", "echo broken >&2; exit 3"], tmp_path)


def test_files_are_found_in_unpacked_packages(tmp_path: Path) -> None:
    inner = tmp_path / "openttd-openmsx/usr/share/games/openttd/baseset/openmsx"
    inner.mkdir(parents=True)
    for name in ("b.mid", "a.mid", "readme.txt"):
        (inner / name).write_bytes(b"x")
    places = Places((tmp_path,))
    assert [path.name for path in places.all(".mid", "openmsx")] == ["a.mid", "b.mid"]
    assert places.has("a.mid") and not places.has("readme.txt")
