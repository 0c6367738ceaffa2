"""Songs as MIDI events: reading and writing files, and variations of them (key, tempo, parts, instruments)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from manifests.errors import LpseError

DRUMS = 9
"""The channel of the drums, counted from 0."""
TEMPO = b"\xff\x51\x03"
TICKS = 480
LONGEST = 200_000
"""Events that a file may have."""


class MidiError(LpseError):
    """A MIDI file that cannot be read; the message names the reason."""


@dataclass(frozen=True)
class Event:
    """A channel message or a tempo (TEMPO and three bytes of microseconds per beat) at a tick."""

    tick: int
    data: bytes

    @property
    def channel(self) -> int | None:
        """The channel, 0 to 15; None for a tempo."""
        return None if self.data[0] == 0xFF else self.data[0] & 15

    @property
    def kind(self) -> int:
        """The kind of message: 8 note off, 9 note on, 11 controller, 12 program, 14 bend; 15 for a tempo."""
        return self.data[0] >> 4


@dataclass(frozen=True)
class Note:
    """A note in beats: its start, its length, its number (69 is 440 Hz) and its velocity (1 to 127)."""

    start: float
    length: float
    pitch: int
    velocity: int = 90


@dataclass(frozen=True)
class Song:
    """Events in the order of their ticks; `division` is the number of ticks per beat."""

    division: int
    events: tuple[Event, ...]

    def channels(self) -> tuple[int, ...]:
        """The channels that have notes."""
        return tuple(sorted({e.data[0] & 15 for e in self.events if e.kind == 9 and e.data[2]}))

    def transposed(self, semitones: int) -> Song:
        """The song in another key; drums stay, and notes that leave the range 0 to 127 are dropped."""

        def moved(event: Event) -> Event | None:
            if event.kind not in (8, 9, 10) or event.channel == DRUMS:
                return event
            pitch = event.data[1] + semitones
            return replace(event, data=bytes([event.data[0], pitch, event.data[2]])) if 0 <= pitch < 128 else None

        return replace(self, events=tuple(e for e in map(moved, self.events) if e is not None))

    def without(self, channels: Collection[int]) -> Song:
        """The song without the notes of some channels."""
        return replace(self, events=tuple(e for e in self.events if not (e.kind in (8, 9) and e.channel in channels)))

    def with_programs(self, programs: Mapping[int, int]) -> Song:
        """The song with the instruments of some channels replaced."""
        kept = tuple(e for e in self.events if not (e.kind == 12 and e.channel in programs))
        first = tuple(Event(0, bytes([0xC0 | channel, program])) for channel, program in programs.items())
        return replace(self, events=first + kept)

    def faster(self, factor: float) -> Song:
        """The song at `factor` times its tempo."""
        return replace(self, division=max(1, min(32767, round(self.division * factor))))

    def timed(self) -> Iterator[tuple[float, Event]]:
        """Yield each event with its time in seconds."""
        now, tick, beat = 0.0, 0, 0.5
        for event in self.events:
            now += (event.tick - tick) / self.division * beat
            tick = event.tick
            if event.data[:3] == TEMPO:
                beat = int.from_bytes(event.data[3:6], "big") / 1e6
            yield now, event

    def part(self, start: float, seconds: float) -> Song:
        """The song from `start` for `seconds`; earlier programs and controllers are kept, notes stop at its end."""
        kept, sounding, begin = [], set[tuple[int, int]](), None
        for time, event in self.timed():
            if time >= start + seconds:
                last = event.tick - (begin or 0)
                kept += [Event(last, bytes([0x80 | channel, pitch, 0])) for channel, pitch in sorted(sounding)]
                break
            if time < start:
                if event.kind not in (8, 9):
                    kept.append(replace(event, tick=0))
                continue
            begin = event.tick if begin is None else begin
            kept.append(replace(event, tick=event.tick - begin))
            if event.kind in (8, 9):
                key = event.data[0] & 15, event.data[1]
                (sounding.add if event.kind == 9 and event.data[2] else sounding.discard)(key)
        return replace(self, events=tuple(kept))

    def seconds(self) -> float:
        """The time of the last event, in seconds."""
        return max((time for time, _ in self.timed()), default=0.0)

    def to_bytes(self) -> bytes:
        """A MIDI file of one track."""
        body, tick = bytearray(), 0
        for event in self.events:
            body += _number(event.tick - tick) + event.data
            tick = event.tick
        body += b"\x00\xff\x2f\x00"
        header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, self.division)
        return bytes(header + b"MTrk" + struct.pack(">I", len(body)) + body)


def song_of(parts: Mapping[int, tuple[int, Iterable[Note]]], beats_per_minute: float) -> Song:
    """A song of parts: for each channel its program and its notes."""
    events = [Event(0, TEMPO + round(60e6 / beats_per_minute).to_bytes(3, "big"))]
    for channel, (program, notes) in parts.items():
        events.append(Event(0, bytes([0xC0 | channel, program])))
        for note in notes:
            start = max(0, round(note.start * TICKS))
            end = max(start + 1, round((note.start + note.length) * TICKS))
            if 0 <= note.pitch < 128:
                events.append(Event(start, bytes([0x90 | channel, note.pitch, min(max(note.velocity, 1), 127)])))
                events.append(Event(end, bytes([0x80 | channel, note.pitch, 0])))
    return Song(TICKS, tuple(sorted(events, key=lambda e: (e.tick, e.kind != 15, e.kind != 12, e.kind != 8))))


def read_song(data: bytes) -> Song:
    """The song in a MIDI file; system messages and all meta events but the tempo are left out.

    Raises MidiError for a file that is damaged, too large, or timed in frames.
    """
    try:
        if data[:4] != b"MThd":
            raise MidiError("not a MIDI file: it does not begin with MThd")
        length, _, tracks, division = struct.unpack(">IHHH", data[4:14])
        if division == 0 or division >= 0x8000:
            raise MidiError(f"a MIDI file with a division of {division}; only ticks per beat are supported")
        events: list[Event] = []
        place = 8 + length
        for _ in range(tracks):
            if data[place : place + 4] != b"MTrk":
                break
            size = int.from_bytes(data[place + 4 : place + 8], "big")
            events += _track(data[place + 8 : place + 8 + size])
            place += 8 + size
            if len(events) > LONGEST:
                raise MidiError(f"a MIDI file with more than {LONGEST} events")
    except (IndexError, struct.error) as error:
        raise MidiError(f"a damaged MIDI file: {error}") from error
    return Song(division, tuple(sorted(events, key=lambda e: e.tick)))


def _track(data: bytes) -> Iterator[Event]:
    """Yield the events of a track's bytes."""
    place, tick, status = 0, 0, 0
    while place < len(data):
        wait, place = _read_number(data, place)
        tick += wait
        if data[place] >= 0x80:
            status = data[place]
            place += 1
        if status == 0xFF:
            kind = data[place]
            size, place = _read_number(data, place + 1)
            if kind == 0x51 and size == 3:
                yield Event(tick, TEMPO + data[place : place + 3])
            if kind == 0x2F:
                return
            place += size
        elif status in (0xF0, 0xF7):
            size, place = _read_number(data, place)
            place += size
        elif status >= 0x80:
            size = 1 if status >> 4 in (12, 13) else 2
            if place + size > len(data):
                raise IndexError("the track ends inside a message")
            yield Event(tick, bytes([status]) + data[place : place + size])
            place += size
        else:
            raise IndexError("a message without its status")


def _read_number(data: bytes, place: int) -> tuple[int, int]:
    """A number of up to four groups of seven bits, and the place after it."""
    value = 0
    for _ in range(4):
        value = value << 7 | data[place] & 127
        place += 1
        if data[place - 1] < 128:
            break
    return value, place


def _number(value: int) -> bytes:
    """The bytes of a number in groups of seven bits."""
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127 | 128)
    return bytes(reversed(groups))
