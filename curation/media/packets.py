"""Reads the packets of a file on one continuous clock, and searches for a time on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from av.error import FFmpegError
from av.format import Flags

from manifests.time import to_ticks

from .clock import PLAIN, ClockMap, ClockScan
from .container import PROTOCOL, open_media, raw_packets
from .probe import describe
from .tracks import audio_streams, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

_LENGTH_SECONDS = 0.5  # headers and packets may differ by a priming packet, and by the last one
_SKEW_SECONDS = 3.0  # the packets of one stream may lie this far before those of another with the same time


def read_packets(
    container: InputContainer,
    streams: Sequence[Stream],
    failed: Callable[[str], None],
) -> Iterator[Packet[Any]]:
    """Yield all readable packets of `streams` in file order, on one continuous clock; other streams are skipped unread.

    `failed` is called with a one-line message for every failed read; reading then continues.
    """
    packets = raw_packets(container, streams, failed)
    clock = clock_map(container)
    return packets if clock.is_plain else clock.put(packets)


def clock_map(container: InputContainer) -> ClockMap:
    """The map of an open container's clocks, found by reading all of its packets once in a process.

    Only containers in which clocks may start again are read: transport and program streams, Ogg.
    """
    if not container.format.flags & cast(int, Flags.ts_discont.value):
        return PLAIN
    path = container.name.removeprefix(PROTOCOL)
    status = os.stat(path)
    return _scanned(path, status.st_size, status.st_mtime_ns)


def plays_as_read(path: str | os.PathLike[str], duration: float | None) -> bool:
    """True if a player that relies on the file's header finds every second of it, in the track that is read.

    `duration`: of the recording, in seconds from zero, as its packets have it. Joined MP3 files and chained Ogg state
    the length of their first part; players then search in proportion. Raises MediaError if the file cannot be read.
    """
    with open_media(path) as container:
        claimed = describe(container).duration
        alone = len(container.streams.audio) < 2
        return alone and clock_map(container).is_plain and _agree(claimed, duration)


def _agree(claimed: float | None, duration: float | None) -> bool:
    return claimed is None or duration is None or abs(claimed - duration) <= _LENGTH_SECONDS


@lru_cache(maxsize=256)
def _scanned(path: str, size: int, modified: int) -> ClockMap:
    with open_media(path) as container:
        sound, video = audio_streams(container), video_stream(container)
        streams: list[Stream] = [*sound, *([video] if video is not None else [])]
        seekable = container.format.name != "ogg"
        if not seekable and len(streams) > 1:
            return PLAIN
        kinds = {stream.index: stream is video for stream in streams}
        scan = ClockScan(kinds, sound[0].index if sound else None, seekable)
        for packet in raw_packets(container, streams, lambda failure: None):
            scan.add(packet)
        return scan.finish()


def seek(container: InputContainer, stream: Stream, time: float) -> bool:
    """Continue reading at or somewhat before `time` seconds on the continuous clock.

    False if the file must be read from its beginning: nothing is done then.
    """
    clock = clock_map(container)
    if not clock.is_plain and not clock.points:
        return False
    with suppress(FFmpegError):
        if clock.is_plain:
            container.seek(to_ticks(time, 1.0 / float(stream.time_base or 1)), stream=stream)
        else:
            container.seek(clock.position(time - _SKEW_SECONDS), unsupported_byte_offset=True)
    return True
