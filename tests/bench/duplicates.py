"""`python -m tests.bench.duplicates`: the figures that finding near duplicates is held to, beside what was asked.

Needs a folder of recordings (LPSE_MEDIA or --media; ../shared/media by default). Writes only into a temporary folder.

What is true is known by construction: every clip is a stretch [start, end) of a source file, and two clips are related
where their stretches overlap. The sources repeat samples, within a file and between files, at places nobody wrote
down; a pair found there is judged by its waveforms instead (correlation at the offset found, on the PCM, which
fingerprints have no part in): the same waveform is a shared sample and counts as neither right nor wrong.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.duplicates import (
    FPS,
    RATE,
    SIZE,
    AudioFingerprinter,
    Fingerprint,
    Match,
    VideoFingerprinter,
    duplicates,
    find_matches,
    merge_indexes,
    new_fingerprint,
    open_index,
    write_index,
)
from curation.duplicates.search import candidates
from curation.media import MediaError, audio_blocks, write_media
from curation.media import frames as read_frames
from curation.runner.process import ONE_THREAD

HERE = Path(__file__).resolve()
DEFAULT_MEDIA = HERE.parents[3] / "shared" / "media"
COPIES = ("r01_workshop_copy.mkv",)  # a copy of another file of the folder: no source of its own
ORIGINALS, ORIGINAL_SECONDS = 25, 30.0
CLIPS, SHORTEST, LONGEST = 1000, 5.0, 20.0
FILMS, FILM_SECONDS, FILM_CLIPS = 10, 24.0, 300
ENTRY_SECONDS = 60.0
ENTRIES = (1_000, 10_000, 100_000)
OFFSET_SLACK = 0.25
SAME_WAVEFORM = 0.5

Sound = NDArray[np.float32]
Pictures = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("LPSE_MEDIA", DEFAULT_MEDIA)))
    parser.add_argument("--only", choices=["audio", "picture", "cost"], action="append")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.here:  # as a worker: libraries that would spin up threads use one
        again = [sys.executable, "-m", f"tests.bench.{HERE.stem}", *sys.argv[1:], "--here"]
        sys.exit(subprocess.run(again, cwd=HERE.parents[2], env=os.environ | ONE_THREAD, check=False).returncode)
    if not options.media.is_dir():
        parser.error(f"{options.media}: no such folder; name it with --media or LPSE_MEDIA")
    parts = options.only or ["audio", "picture", "cost"]
    with tempfile.TemporaryDirectory() as folder:
        sounds = read_sounds(options.media)
        if "audio" in parts:
            audio(sounds, options.media, Path(folder))
        if "picture" in parts:
            picture(options.media, Path(folder))
        if "cost" in parts:
            cost(sounds, Path(folder))


def row(name: str, got: str, asked: str = "") -> None:
    print(f"  {name:<52} {got:>18}   {asked}")


# clips with known sources


@dataclass(frozen=True)
class Clip:
    """[start, end) of a source from time `lead` on of a clip that lasts `seconds`; `change` made it of `origin`.

    `moved`: (start, end, lead) of a second stretch of the source, where the clip was re-cut.
    """

    name: str
    source: str
    start: float
    end: float
    seconds: float
    lead: float = 0.0
    change: str = "unrelated"
    origin: str = ""
    moved: tuple[float, float, float] | None = None

    @property
    def stretches(self) -> list[tuple[float, float, float]]:
        """(start, end, lead) of each."""
        return [(self.start, self.end, self.lead), *([self.moved] if self.moved else [])]


def right_offset(match: Match, one: Clip, other: Clip) -> bool:
    """Whether the match lays stretches that overlap in their source side by side as their source does."""
    return one.source == other.source and any(
        min(mine[1], theirs[1]) > max(mine[0], theirs[0])
        and abs(match.offset - ((mine[0] - mine[2]) - (theirs[0] - theirs[2]))) <= OFFSET_SLACK
        for mine in one.stretches
        for theirs in other.stretches
    )


def judge(
    title: str,
    clips: Mapping[str, Clip],
    prints: Mapping[str, Fingerprint],
    folder: Path,
    same_sample: Callable[[Match], bool],
) -> None:
    """Find everything among the prints, and print recall by change and precision of all pairs called duplicates."""
    folder.mkdir()
    write_index(folder, prints.values())
    began = time.process_time()
    matches = find_matches(prints.values(), [open_index(folder)], prints.__getitem__)
    spent = time.process_time() - began
    pairs: dict[tuple[str, str], list[Match]] = defaultdict(list)
    for match in matches:
        pairs[match.recording_id, match.other_id].append(match)
    durations = {name: clip.seconds for name, clip in clips.items()}
    called = {pair: some for pair, some in pairs.items() if duplicates(some, durations, str)}
    right, samples, wrong = Counter[str](), 0, []
    for (one, other), some in called.items():
        change = kind_of(clips[one], clips[other])
        if any(right_offset(match, clips[one], clips[other]) for match in some):
            right[change] += 1
        elif all(same_sample(match) for match in some):
            samples += 1
        else:
            wrong.append((one, other))
    print(
        f"\n{title}: {len(clips)} clips, {len(clips) * (len(clips) - 1) // 2} pairs, searched in {spent:.1f} s of CPU"
    )
    made, found = Counter[str](), Counter[str]()
    for clip in clips.values():
        if clip.origin:
            first, second = sorted((clip.name, clip.origin))
            made[clip.change] += 1
            some = called.get((first, second), [])
            found[clip.change] += any(right_offset(match, clips[first], clips[second]) for match in some)
    for change, count in made.items():
        row(f"found: {change}", f"{found[change]} of {count}", f"recall {found[change] / count:.3f}")
    row("recall", f"{sum(found.values()) / sum(made.values()):.4f}", "asked >= 0.95")
    called_right = sum(right.values())
    for change, count in sorted(right.items()):
        row(f"right pairs: {change}", str(count))
    row("wrong pairs", str(len(wrong)), " ".join(f"{a}+{b}" for a, b in wrong[:4]))
    row("pairs that share a sample (same waveform)", str(samples), "left out")
    row("precision", f"{called_right / max(1, called_right + len(wrong)):.4f}", "asked >= 0.99")
    strict = [m for m in matches if clips[m.recording_id].change == clips[m.other_id].change == "unrelated"]
    strays = [m for m in strict if not right_offset(m, clips[m.recording_id], clips[m.other_id])]
    strange = sum(not same_sample(m) for m in strays)
    row("matches between unrelated clips, shorter ones too", str(len(strict)))
    row("  elsewhere than their sources overlap", str(len(strays)), f"{strange} of them not the same waveform")


def kind_of(one: Clip, other: Clip) -> str:
    """Between what the pair is."""
    if one.change == other.change == "unrelated":
        return "clips that overlap in their source"
    if one.change == "unrelated" or other.change == "unrelated":
        return "a clip and an original or its copy"
    return "original and copies"


def stretches(
    sources: Mapping[str, float], count: int, seconds: float, rng: np.random.Generator
) -> list[tuple[str, float]]:
    """(source, start) of disjoint stretches, drawn from all there are."""
    cells = [
        (name, begin * seconds + float(rng.uniform(0, 0.5)))
        for name, length in sources.items()
        for begin in range(int((length - 1) // seconds))
    ]
    chosen = rng.permutation(len(cells))[:count]
    return [cells[index] for index in sorted(chosen.tolist())]


def random_clips(sources: Mapping[str, float], count: int, rng: np.random.Generator) -> Iterator[Clip]:
    """Stretches of SHORTEST to LONGEST seconds anywhere; longer sources get more of them."""
    names, lengths = list(sources), np.array(list(sources.values()))
    for index in range(count):
        source = names[int(rng.choice(len(names), p=lengths / lengths.sum()))]
        seconds = float(rng.uniform(SHORTEST, LONGEST))
        start = float(rng.uniform(0, sources[source] - seconds))
        yield Clip(f"u{index:04d}", source, start, start + seconds, seconds)


# sound


def read_sounds(media: Path) -> dict[str, Sound]:
    """Mono sound at RATE of every readable file that is no copy."""
    sounds = {}
    for path in sorted(media.iterdir()):
        if path.name in COPIES or path.suffix not in (".mp4", ".mkv", ".webm", ".wav"):
            continue
        try:
            sounds[path.name.split("_")[0]] = np.concatenate([b.mono[RATE] for b in audio_blocks(path, (RATE,))])
        except MediaError:
            continue
    return sounds


def sound_of(sounds: Mapping[str, Sound], source: str, start: float, end: float) -> Sound:
    return sounds[source][round(start * RATE) : round(end * RATE)]


def audio_print(name: str, samples: Sound) -> Fingerprint:
    printer = AudioFingerprinter()
    printer.push(samples)
    return new_fingerprint(name, name, "audio", 0.0, printer.finish())


def audio(sounds: Mapping[str, Sound], media: Path, folder: Path) -> None:
    """Copies of stretches of the media and clips cut from anywhere, all against all."""
    rng = np.random.default_rng(1)
    lengths = {name: len(samples) / RATE for name, samples in sounds.items() if len(samples) > 25 * RATE}
    clips: dict[str, Clip] = {}
    pcm: dict[str, Sound] = {}

    def add(clip: Clip, samples: Sound) -> None:
        clips[clip.name], pcm[clip.name] = clip, samples

    for clip in random_clips(lengths, CLIPS, rng):
        add(clip, sound_of(sounds, clip.source, clip.start, clip.end))
    for number, (source, start) in enumerate(stretches(lengths, ORIGINALS, ORIGINAL_SECONDS, rng)):
        end = start + ORIGINAL_SECONDS
        name = f"o{number:02d}"
        sound = sound_of(sounds, source, start, end)
        add(Clip(name, source, start, end, ORIGINAL_SECONDS, change="original"), sound)
        for change, lead, first, last, changed in copies(sound, sounds, source, media, number, folder, rng):
            copy = Clip(
                f"{name}-{change}", source, start + first, start + last, len(changed) / RATE, lead, change, name
            )
            add(copy, changed)
    prints = {name: audio_print(name, samples) for name, samples in pcm.items()}
    judge("Sound", clips, prints, folder / "sound", lambda match: same_waveform(match, pcm))


def copies(
    sound: Sound,
    sounds: Mapping[str, Sound],
    source: str,
    media: Path,
    number: int,
    folder: Path,
    rng: np.random.Generator,
) -> Iterator[tuple[str, float, float, float, Sound]]:
    """(change, lead, first, last, samples): seconds [first, last) of the sound lie at `lead` of the copy."""
    seconds = len(sound) / RATE
    drop = float(rng.uniform(0, 0.064))  # so that the copy's words fall between the original's
    late = sound[round(drop * RATE) :]
    lossy: dict[str, Callable[[], Sound]] = {
        "AAC 32 kbit/s, 44.1 kHz": lambda: through("aac", ".m4a", late, 44_100, 32_000, folder),
        "MP3 40 kbit/s, 22.05 kHz, -2 dB": lambda: through("libmp3lame", ".mp3", late * 0.794, 22_050, 40_000, folder),
        "Opus 24 kbit/s, 48 kHz": lambda: through("libopus", ".ogg", late, 48_000, 24_000, folder),
        "Vorbis, lowest quality (about 43 kbit/s)": lambda: vorbis(late),
    }
    for change, make in lossy.items():
        yield change, 0.0, drop, seconds, make()
    first = float(rng.uniform(0, 0.4 * seconds))
    last = first + float(rng.uniform(0.45, 0.6)) * seconds
    yield "trimmed to half, -2 dB", 0.0, first, last, 0.794 * sound[round(first * RATE) : round(last * RATE)]
    lead = float(rng.uniform(1, 9))
    strange = [name for name in sounds if name != source and len(sounds[name]) > 20 * RATE]
    before = sounds[strange[int(rng.integers(len(strange)))]][: round(lead * RATE)]
    yield "shifted: other sound before it", lead, 0.0, seconds, np.concatenate([before, sound])
    # soxr's way up and down at rates that share no factor with RATE
    yield "resampled 22.05 and 44.1 kHz", 0.0, drop, seconds, resampled(resampled(late, RATE, 22_050), 22_050, RATE)
    if number % 4 == 0:
        other = sorted(media.glob("p0*.mp4"))[number % 3]
        yield "under another picture (MP4, AAC 64 kbit/s)", 0.0, drop, seconds, under_picture(late, other, folder)


def resampled(samples: Sound, rate: int, to: int) -> Sound:
    import soxr

    return np.asarray(soxr.resample(samples, rate, to), np.float32)


def through(codec: str, suffix: str, samples: Sound, rate: int, bitrate: int, folder: Path) -> Sound:
    """The sound encoded and decoded again."""
    path = folder / f"copy{suffix}"
    audio_in = resampled(samples, RATE, rate)[np.newaxis]
    write_media(path, audio=[audio_in], sample_rate=rate, audio_codec=codec, audio_bitrate=bitrate)
    return np.concatenate([block.mono[RATE] for block in audio_blocks(path, (RATE,))])


def vorbis(samples: Sound) -> Sound:
    """As `through`; PyAV's FFmpeg has no good Vorbis encoder, libsndfile has."""
    import soundfile

    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 44_100, 1, "VORBIS", format="OGG", compression_level=0.99) as sink:
        audio_in = resampled(samples, RATE, 44_100)
        for first in range(0, len(audio_in), 44_100):
            sink.write(audio_in[first : first + 44_100])
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    return resampled(decoded, rate, RATE)


def under_picture(samples: Sound, other: Path, folder: Path) -> Sound:
    path = folder / "swap.mp4"
    frames = (frame.image for frame in read_frames(other, 5, size=SIZE, end=len(samples) / RATE))
    audio_in = resampled(samples, RATE, 44_100)[np.newaxis]
    write_media(path, frames=frames, fps=5, audio=[audio_in], sample_rate=44_100, audio_bitrate=64_000)
    return np.concatenate([block.mono[RATE] for block in audio_blocks(path, (RATE,))])


def same_waveform(match: Match, pcm: Mapping[str, Sound]) -> bool:
    """Whether the two signals correlate at the offset found: median over the match's seconds of the best within 70 ms.

    Above 100 Hz, so that hum and rumble common to both do not decide.
    """
    best = []
    slack = round(0.07 * RATE)
    for start in np.arange(match.start + 0.25, match.end - 1.25, 1.0):
        first, there = round(start * RATE), round((start + match.offset) * RATE)
        one = pcm[match.recording_id][first : first + RATE]
        other = pcm[match.other_id][max(0, there - slack) : there + RATE + slack]
        if len(one) < RATE or len(other) < RATE + slack:
            continue
        one, other = one - smooth(one), other - smooth(other)
        total = np.concatenate([[0.0], np.cumsum(other.astype(np.float64) ** 2)])
        power = total[RATE:] - total[:-RATE]
        size = 1 << (len(one) + len(other)).bit_length()
        product = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)), size)[: len(power)]
        best.append(float(np.max(np.abs(product) / np.sqrt(np.maximum(power * float(one @ one), 1e-12)))))
    return bool(best) and float(np.median(best)) >= SAME_WAVEFORM


def smooth(samples: Sound) -> Sound:
    width = RATE // 100
    total = np.cumsum(np.pad(samples.astype(np.float64), (width // 2 + 1, width - width // 2 - 1), mode="edge"))
    mean = (total[width:] - total[:-width]) / width
    return np.asarray(np.pad(mean, (0, len(samples) - len(mean)), mode="edge"), np.float32)


# pictures


def picture(media: Path, folder: Path) -> None:
    """As `audio`, for what is seen: re-encoded, re-scaled, re-cut stretches and clips from anywhere."""
    rng = np.random.default_rng(2)
    small = (64, 36)
    films: dict[str, Pictures] = {}
    paths: dict[str, Path] = {}
    for path in sorted(media.iterdir()):
        if path.name in COPIES or path.suffix not in (".mp4", ".mkv", ".webm"):
            continue
        name = path.name.split("_")[0]
        try:
            images = [frame.image for frame in read_frames(path, FPS, size=small)]
        except MediaError:
            continue
        if len(images) > 25 * FPS:
            films[name], paths[name] = np.stack(images), path
    lengths = {name: len(images) / FPS for name, images in films.items()}
    clips: dict[str, Clip] = {}
    prints: dict[str, Fingerprint] = {}

    def add(clip: Clip, images: Iterable[Pictures]) -> None:
        clips[clip.name], prints[clip.name] = clip, picture_print(clip.name, images)

    for clip in random_clips(lengths, FILM_CLIPS, rng):
        first, last = round(clip.start * FPS), round(clip.end * FPS)
        exact = Clip(clip.name, clip.source, first / FPS, last / FPS, (last - first) / FPS)
        add(exact, films[clip.source][first:last])
    for number, (source, begin) in enumerate(stretches(lengths, FILMS, FILM_SECONDS, rng)):
        first = round(begin * FPS)
        start, count = first / FPS, round(FILM_SECONDS * FPS)
        name = f"o{number:02d}"
        original = films[source][first : first + count]
        add(Clip(name, source, start, start + FILM_SECONDS, FILM_SECONDS, change="original"), original)
        late = start + float(rng.uniform(0.02, 0.12))  # pictures between those of the original
        seconds = FILM_SECONDS - 0.2
        recoded: list[tuple[str, tuple[int, int], float, str, str, dict[str, str]]] = [
            ("MPEG-4 150 kbit/s, squeezed to 4:3, 15/s", (160, 120), 15, "mpeg4", ".mkv", {"b": "150000"}),
            ("H.264 crf 36, half the size, 5/s", (160, 90), 5, "libx264", ".mp4", {"crf": "36"}),
            ("VP8 120 kbit/s, 12/s", (256, 144), 12, "libvpx", ".webm", {"b": "120000", "deadline": "realtime"}),
        ]
        for change, size, fps, codec, suffix, options in recoded:
            copy = folder / f"film{suffix}"
            recoded_images = (
                f.image for f in read_frames(paths[source], fps, size=size, start=late, end=late + seconds)
            )
            write_media(copy, frames=recoded_images, fps=fps, video_codec=codec, video_options=options)
            add(
                Clip(f"{name}-{change}", source, late, late + seconds, seconds, change=change, origin=name),
                (f.image for f in read_frames(copy, FPS, size=SIZE)),
            )
        part = count // 2
        add(
            Clip(f"{name}-trim", source, start, start + part / FPS, part / FPS, change="trimmed to half", origin=name),
            original[:part],
        )
        # a third goes to the end: the longer piece comes first, then what was before it
        third = count // 3
        recut = np.concatenate([original[third:], original[:third]])
        cut = start + third / FPS
        kept = Clip(
            f"{name}-recut",
            source,
            cut,
            start + FILM_SECONDS,
            FILM_SECONDS,
            change="re-cut",
            origin=name,
            moved=(start, cut, FILM_SECONDS - third / FPS),
        )
        add(kept, recut)
    judge("Picture", clips, prints, folder / "picture", lambda _: False)


def picture_print(name: str, images: Iterable[Pictures]) -> Fingerprint:
    printer = VideoFingerprinter()
    for index, image in enumerate(images):
        printer.push(index / FPS, image)
    return new_fingerprint(name, name, "picture", 0.0, printer.finish())


# cost


def cost(sounds: Mapping[str, Sound], folder: Path) -> None:
    """CPU of a fingerprint, and of looking a new file up among 1,000 to 100,000 others."""
    named = [audio_print(name, samples) for name, samples in sounds.items()]
    minutes = sum(len(samples) for samples in sounds.values()) / RATE / 60
    least = min(timed(lambda: [audio_print(name, samples) for name, samples in sounds.items()]) for _ in range(3))
    print(f"\nCost, {minutes:.0f} minutes of sound")
    row("fingerprint, CPU ms a minute of sound", f"{1000 * least / minutes:.1f}", "wanted <= 30")
    # The simulated entries are made of some recordings, the new files cut from the others: else every entry would hold
    # seconds of the new files, which is no chance.
    inside, outside = list(sounds)[::2], list(sounds)[1::2]
    real = np.concatenate([one.words for one in named if one.recording_id in inside])
    rng = np.random.default_rng(3)
    new = [
        audio_print(f"new{index}", sound_of(sounds, source, start, start + ENTRY_SECONDS))
        for index, (source, start) in enumerate(
            stretches({name: len(sounds[name]) / RATE for name in outside}, 16, ENTRY_SECONDS, rng)
        )
    ]
    tenth = ENTRIES[1]
    folders = [folder / f"tenth{index}" for index in range(ENTRIES[2] // tenth)]
    for index, part in enumerate(folders):
        part.mkdir()
        write_index(part, entries(real, index * tenth, tenth))
    small, whole = folder / "small", folder / "whole"
    small.mkdir()
    whole.mkdir()
    write_index(small, entries(real, 0, ENTRIES[0]))
    spent = timed(lambda: merge_indexes(folders, whole))
    indexes = {count: open_index(where) for count, where in zip(ENTRIES, (small, folders[0], whole), strict=True)}
    hours = ENTRIES[2] * ENTRY_SECONDS / 3600
    held = sum(file.stat().st_size for file in whole.iterdir())
    row(
        "index, MB an hour of sound", f"{held / 1e6 / hours:.3f}", f"{len(indexes[ENTRIES[2]])} postings, memory-mapped"
    )
    row(
        "words, MB an hour of sound",
        f"{sum(one.words.nbytes for one in named) / 1e6 / (minutes / 60):.3f}",
        "wanted <= 1",
    )
    row("merging ten parts of 10,000", f"{spent:.1f} s")
    figures = {}
    known = {one.item: one for one in new}

    def words_of(item: str) -> Fingerprint:
        if item not in known:  # made once, before the clock runs: a corpus has them on disk
            known.update((one.item, one) for one in entries(real, int(item[1:]), 1))
        return known[item]

    for count, where in indexes.items():
        chance = [len(candidates(one, [where])) for one in new]
        find_matches(new, [where], words_of)
        lookups = min(timed(lambda at=where: [candidates(one, [at]) for one in new]) for _ in range(5))  # type: ignore[misc]
        whole_way = min(timed(lambda at=where: find_matches(new, [at], words_of)) for _ in range(5))  # type: ignore[misc]
        figures[count] = 1000 * whole_way / len(new)
        found = f"look-up {1000 * lookups / len(new):.2f}, {np.mean(chance):.2f} chance candidates aligned"
        row(f"a new file of a minute among {count}", f"{figures[count]:.2f} ms", found)
    row(f"{ENTRIES[2]} against {ENTRIES[0]}", f"{figures[ENTRIES[2]] / figures[ENTRIES[0]]:.2f}x", "asked flat")


def entries(real: NDArray[np.uint64], first: int, count: int) -> Iterator[Fingerprint]:
    """Recordings of a minute: seconds of real words in random order, every sign turned with a chance of 1 in 4.

    So words keep the shape of real ones (some are far likelier than others) without being copies.
    """
    length, second = round(ENTRY_SECONDS / 0.064), 16
    for number in range(first, first + count):
        rng = np.random.default_rng((4, number))
        starts = rng.integers(0, len(real) - second, -(-length // second))
        words = real[(starts[:, None] + np.arange(second)).ravel()[:length]]
        turned = rng.integers(0, 1 << 32, (2, length), np.uint64)
        yield new_fingerprint(f"e{number}", f"e{number}", "audio", 0.0, words ^ (turned[0] & turned[1]))


def timed(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


if __name__ == "__main__":
    main()
