"""Converts a stream's timestamps to seconds: broken timestamps must neither lose audio nor add hours of it.

Every reader takes packets from `probe.read_packets`, which puts all parts of a file onto one clock by its `ClockMap`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.packet import Packet

_AHEAD_SECONDS = 3600.0  # no hole in a recording is longer
_PAST_END_SECONDS = 10.0  # nor does one end this far after the header's end
_RESTART_BACK_SECONDS = 1.0  # a stream that steps further back does not repeat itself: its clock was set
_RESTART_AHEAD_SECONDS = 10.0  # a stream whose clock jumps further ahead lost nothing: its clock was set
_TOGETHER_SECONDS = 10.0  # streams of one part start and end within this time of each other
_POINT_SECONDS = 1.0  # between places to begin reading at
_STRAY_SECONDS = 1.0  # a part shorter than this, after which the old clock goes on, is a damaged timestamp


@dataclass
class StreamClock:
    """Converts container times to seconds from zero.

    A time is plausible if it is at most `back_seconds` before the end of the audio or video read so far, and not
    absurdly late. An implausible one (a corrupt timestamp) is read as "directly after the last packet". Later times
    keep that correction until the raw times are plausible again.
    """

    zero: float
    duration: float | None
    back_seconds: float = 10.0  # stepping back less is overlap or reordering
    correction: float = 0.0

    def seconds(self, container_time: float | None, now: float) -> float:
        """Seconds from zero of `container_time`; `now` is the end of the stream read so far, in seconds."""
        if container_time is None:
            return now
        raw = container_time - self.zero
        for time in (raw, raw + self.correction):
            if self._is_plausible(time, now):
                return time
        self.correction = now - raw
        return now

    def _is_plausible(self, time: float, now: float) -> bool:
        latest = now + _AHEAD_SECONDS
        if self.duration is not None:
            latest = min(latest, max(now, self.duration) + _PAST_END_SECONDS)
        return now - self.back_seconds <= time <= latest


@dataclass(frozen=True, slots=True)
class Part:
    """Packets from `position` on, up to the next part, which share one clock.

    `position`: byte of the file, or, in a map that counts, number of the packet.

    `offset` in seconds is added to their container times; `start`: where the part starts, with the offset.
    """

    position: int
    offset: float
    start: float


@dataclass(frozen=True)
class ClockMap:
    """One continuous container clock for a file of several parts, each with a clock of its own.

    Transport and program streams are put end to end by cameras, recorders and people, and each part's clock starts
    where it likes. The audio of a part starts where that of the part before ended; the video keeps its distance to the
    audio. `points`: (time on the continuous clock in seconds, byte position) where reading may begin, in order; empty
    where the file must be read from its beginning. `counts`: packets are identified by their number, not their place:
    a page of an Ogg file holds the end of a part and the beginning of the next.
    """

    parts: tuple[Part, ...] = (Part(0, 0.0, 0.0),)
    points: tuple[tuple[float, int], ...] = field(default=(), repr=False)
    counts: bool = False

    @property
    def is_plain(self) -> bool:
        """True if the container's own clock is continuous, so that its times can be searched for."""
        return len(self.parts) == 1

    @property
    def splices(self) -> tuple[float, ...]:
        """The starts of the second and later parts, in seconds on the continuous clock."""
        return tuple(part.start for part in self.parts[1:])

    def position(self, time: float) -> int:
        """The last byte position to read from for what is at `time` seconds on the continuous clock."""
        index = bisect_right(self.points, time, key=lambda point: point[0]) - 1
        return self.points[index][1] if index >= 0 else 0

    def put(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """Yield the packets with their times on the continuous clock."""
        starts = [part.position for part in self.parts]
        places = _Places(self.counts)
        for packet in packets:
            position = places.of(packet)
            offset = self.parts[max(0, bisect_right(starts, position) - 1)].offset
            if offset and packet.time_base:
                ticks = round(offset / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


PLAIN = ClockMap()


@dataclass
class _Stream:
    """A stream while a file is scanned: the end of its last packet, on the continuous clock."""

    is_audio: bool
    end: float | None = None
    part: int = 0  # that its last packet belongs to


class ClockScan:
    """Finds the parts of a file from all its packets, in file order, before any is put on the continuous clock.

    `streams`: by index, True for the video. `audio`: the index of the stream that is continued without a gap, None
    without audio. `seekable`: reading may begin at any packet's byte position.
    """

    def __init__(self, streams: Mapping[int, bool], audio: int | None, seekable: bool) -> None:
        self._audio, self._seekable = audio, seekable
        self._streams = {index: _Stream(index == audio) for index in streams}
        self._key_stream = next((index for index, is_video in streams.items() if is_video), audio)
        self._parts = [Part(0, 0.0, 0.0)]
        self._aligned = [True]  # by part: the audio has been met, and placed it
        self._points: list[tuple[float, int, int]] = []  # (container time, byte position, part)
        self._places = _Places(not seekable)

    def add(self, packet: Packet[Any]) -> None:
        """Take the next packet."""
        stream = self._streams.get(packet.stream_index)
        raw = packet.dts if packet.dts is not None else packet.pts
        position = self._places.of(packet)
        if stream is None or raw is None or not packet.time_base:
            return
        seconds = float(raw * packet.time_base)
        index = self._part_at(position)
        if not self._continues(stream, seconds, index):
            index = self._moved(stream, seconds, position, index)
        if stream.is_audio and not self._aligned[index]:
            self._align(stream, seconds, index)
        time = seconds + self._parts[index].offset
        length = float(packet.duration * packet.time_base) if packet.duration else 0.0
        stream.end = max(time + length, time if stream.end is None else stream.end)
        stream.part = max(stream.part, index)
        if self._seekable and packet.is_keyframe and packet.stream_index == self._key_stream:
            self._add_point(seconds, position, index)

    def finish(self) -> ClockMap:
        """The map of the file."""
        if len(self._parts) == 1:
            return PLAIN
        points = sorted((seconds + self._parts[part].offset, position) for seconds, position, part in self._points)
        return ClockMap(tuple(self._parts), tuple(points), not self._seekable)

    def _part_at(self, position: int) -> int:
        return max(0, bisect_right(self._parts, position, key=lambda part: part.position) - 1)

    def _continues(self, stream: _Stream, seconds: float, index: int) -> bool:
        """True if a time fits the part's clock."""
        time, now = seconds + self._parts[index].offset, self._now()
        if stream.end is None or now is None:
            return now is None or abs(time - now) <= _TOGETHER_SECONDS
        if stream.part < index:  # the first packet of this stream in the part
            return abs(time - now) <= _TOGETHER_SECONDS
        return stream.end - _RESTART_BACK_SECONDS <= time <= max(now, stream.end) + _RESTART_AHEAD_SECONDS

    def _moved(self, stream: _Stream, seconds: float, position: int, index: int) -> int:
        """The part of a packet whose time does not fit the part at its place: the next one, or a new one."""
        if index + 1 < len(self._parts) and self._continues(stream, seconds, index + 1):
            # a packet is complete, and read, after others that begin behind it
            self._parts[index + 1] = replace(self._parts[index + 1], position=position)
            return index + 1
        now = self._now() or 0.0
        start = stream.end if stream.is_audio and stream.end is not None else now
        offset = start - seconds
        before = self._parts[-2] if len(self._parts) > 1 else None
        if (
            before is not None
            and abs(before.offset - offset) <= _RESTART_BACK_SECONDS
            and start - self._parts[-1].start < _STRAY_SECONDS
        ):
            self._drop_last()
            return len(self._parts) - 1
        self._parts.append(Part(max(position, self._parts[-1].position + 1), offset, start))
        self._aligned.append(self._audio is None or stream.is_audio)
        return len(self._parts) - 1

    def _drop_last(self) -> None:
        self._parts.pop()
        self._aligned.pop()
        last = len(self._parts) - 1
        self._points = [point for point in self._points if point[2] <= last]
        for stream in self._streams.values():
            stream.part = min(stream.part, last)

    def _align(self, stream: _Stream, seconds: float, index: int) -> None:
        """Place a part that began with a packet of the video by its audio."""
        self._aligned[index] = True
        if stream.end is None:
            return
        old = self._parts[index]
        change = stream.end - seconds - old.offset
        self._parts[index] = replace(old, offset=old.offset + change, start=stream.end)
        for other in self._streams.values():
            if other.part == index and other.end is not None and other is not stream:
                other.end += change

    def _add_point(self, seconds: float, position: int, index: int) -> None:
        if self._points:
            before, _, part = self._points[-1]
            if part == index and 0 <= seconds - before < _POINT_SECONDS:
                return
        self._points.append((seconds, position, index))

    def _now(self) -> float | None:
        return max((stream.end for stream in self._streams.values() if stream.end is not None), default=None)


class _Places:
    """The places of packets: their bytes in the file, or their numbers."""

    def __init__(self, counts: bool) -> None:
        self._counts = counts
        self._last: dict[int, int] = {}  # by stream

    def of(self, packet: Packet[Any]) -> int:
        """The place of the next packet; one that a parser split off from another has the other's."""
        before = self._last.get(packet.stream_index)
        if self._counts:
            place = 0 if before is None else before + 1
        else:
            place = packet.pos if packet.pos is not None and packet.pos >= 0 else before or 0
        self._last[packet.stream_index] = place
        return place
