"""Identifies the recording in a file, independent of container and file name."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from av.audio.stream import AudioStream

from manifests.errors import Problem
from manifests.identity import file_sha256
from manifests.time import to_ticks

from .clock import StreamClock
from .container import MediaError, open_media, os_error
from .container_faults import BARE, is_frame
from .decode import JITTER_SECONDS
from .packets import clock_map, read_packets
from .probe import MediaInfo, describe, no_audio
from .tracks import UNKNOWN_CODEC, audio_streams, codec_name, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

# Containers whose header states the duration. For others libavformat estimates it from the bit rate or searches
# for the last timestamp, and neither reveals that anything is missing.
_STATES_DURATION = frozenset({"mp4", "matroska", "wav", "w64", "aiff", "avi", "flv", "asf", "caf", "flac"})
_MISSING_SECONDS = 1.0  # the header claims more than this beyond the last packet: the file was cut off
_SHIFT_SECONDS = 0.25  # codecs and containers shift a start by less; a larger shift is another recording

_MOST_PLAYED = 4  # times the bytes of a file: an edit list may repeat some of its audio
_RIFF_UNKNOWN = 0xFFFFFF00  # sizes from here on mean "written to a pipe"


@dataclass(frozen=True)
class Identity:
    """Identity of a file, from one pass over its packets.

    `info`: the header, None if the file cannot be opened. `sha256` and `bytes`: of the file. `duration`: end of the
    last audio or video packet, in seconds from zero; None without packets. `truncated`: the header claims more than a
    second beyond that. `problem`: (reason, detail) as in MediaError, for a file without readable audio. `audio_end`,
    `video_end`: end of the last packet of each stream, in seconds from zero; None if the stream or its packets are
    missing. `splices`: where the file's clock starts again or its audio repeats, in seconds from zero, ascending.
    """

    info: MediaInfo | None
    recording_id: str
    sha256: str
    bytes: int
    duration: float | None
    truncated: bool
    problem: Problem | None = None
    audio_end: float | None = None
    video_end: float | None = None
    splices: tuple[float, ...] = ()


def identify(path: str | os.PathLike[str], uri: str = "") -> Identity:
    """Identify the file at `path`. Raises MediaError only if it has vanished, may not be read or is no regular file.

    `recording_id` is the first 16 hex digits of the SHA-256 over the audio stream: codec, sample rate, channels, the
    packets' payload and, from a quarter of a second on, the offset of its start from zero. So the same stream has the
    same id with or without a video stream, in MP4, Matroska, WebM or Ogg; AAC in a transport stream too. Other streams,
    metadata, packet boundaries and timestamps inside the stream do not count. Re-encoding or removing packets makes a
    different recording, and so does a change of the codec's name alone (PCM with other byte order). Without readable
    audio the id is computed from the file's bytes; for an empty file, where all would share one id, from `uri`.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
            raise MediaError("not_media", "not a regular file")
        sha256 = file_sha256(path)
    except OSError as error:
        raise os_error(error) from None
    size = status.st_size
    info: MediaInfo | None = None
    ends = _Ends(None, None)
    splices: tuple[float, ...] = ()
    problem: Problem | None = None
    recording_id = sha256[:16] if size else hashlib.sha256(os.fsencode(uri)).hexdigest()[:16]
    try:
        with open_media(path) as container:
            info = describe(container)
            audio_id, ends, splices, problem = _scan(container, info, size)
            recording_id = audio_id or recording_id
    except MediaError as error:
        if error.reason in ("vanished", "permission_denied"):
            raise
        problem = error.problem
    try:
        claimed = _claimed_duration(path, info, size)
    except OSError as error:
        raise os_error(error) from None
    truncated = claimed is not None and claimed - (ends.last or 0.0) > _MISSING_SECONDS
    return Identity(info, recording_id, sha256, size, ends.last, truncated, problem, ends.audio, ends.video, splices)


def _claimed_duration(path: str | os.PathLike[str], info: MediaInfo | None, size: int) -> float | None:
    """The duration that the header states, in seconds from zero; None where it can only be estimated."""
    if info is None or info.duration is None or info.container not in _STATES_DURATION:
        return None
    with open(path, "rb") as file:
        head = file.read(8)
    # A RIFF header states a size. libavformat takes the file's size where that is smaller, and so hides a cut.
    stated = int.from_bytes(head[4:8], "little") + 8
    if head[:4] == b"RIFF" and size < stated < _RIFF_UNKNOWN:
        return info.duration * stated / size
    return info.duration


class _Ends(NamedTuple):
    """Ends of the streams, in seconds from zero; None without packets."""

    audio: float | None
    video: float | None

    @property
    def last(self) -> float | None:
        return max((end for end in self if end is not None), default=None)


def _scan(
    container: InputContainer, info: MediaInfo, size: int
) -> tuple[str | None, _Ends, tuple[float, ...], Problem | None]:
    """(id of the audio or None, ends of the streams, splices, problem or None) from all packets of the file."""
    sound, video = audio_streams(container), video_stream(container)
    streams: list[Stream] = [*sound, *([video] if video is not None else [])]
    if not streams:
        return None, _Ends(None, None), (), Problem("no_audio_stream", no_audio(container))
    known = {stream.index for stream in sound if codec_name(stream) != UNKNOWN_CODEC}
    digests: dict[int, hashlib._Hash] = {}
    lasts = {stream.index: _Last(StreamClock(info.zero, info.duration)) for stream in streams}
    splices = {round(time - info.zero, 3) for time in clock_map(container).splices}
    played = 0  # bytes of audio
    for packet in read_packets(container, streams, lambda failure: None):
        start = packet.pts if packet.pts is not None else packet.dts
        time = None if start is None else float(start * packet.time_base)
        last = lasts[packet.stream_index]
        if packet.stream_index in known:
            played += packet.size
            if played > _MOST_PLAYED * size:  # hours of the same second
                problem = Problem("unreadable", f"its edit list plays its audio more than {_MOST_PLAYED} times")
                return None, _Ends(None, None), (), problem
            stream = container.streams[packet.stream_index]
            assert isinstance(stream, AudioStream)
            if packet.stream_index not in digests:
                shift = 0.0 if time is None else time - info.zero  # of the first packet
                digests[packet.stream_index] = hashlib.sha256(_description(stream, shift))
            digests[packet.stream_index].update(_payload(packet, stream))
            if last.steps_back(time):
                splices.add(round(last.end, 3))
        length = float(packet.duration * packet.time_base) if packet.duration else _frame_seconds(info, packet)
        if info.container not in BARE:
            last.add(time, length)
        elif is_frame(bytes(packet), info.container):  # what is none before it took no time
            last.add(None if time is None or time - info.zero > last.end + JITTER_SECONDS else time, length)
    ends = _Ends(
        max((lasts[s.index].end for s in sound if lasts[s.index].played), default=None),
        lasts[video.index].end if video is not None and lasts[video.index].played else None,
    )
    found = tuple(sorted(time for time in splices if time > 0))
    if not sound:
        return None, ends, found, Problem("no_audio_stream", no_audio(container))
    if not known:
        return None, ends, found, Problem("decode_failed", "no decoder for the audio codec")
    if not digests:
        return None, ends, found, Problem("no_samples", "the audio stream has no packets")
    if not ends.audio and not any(stream.codec_context.sample_rate for stream in sound if stream.index in known):
        return None, ends, found, Problem("not_media", "no frame of audio in it")
    parts = [digest for _, digest in sorted(digests.items())]
    if len(parts) > 1:
        parts = [hashlib.sha256(b"".join(part.digest() for part in parts))]
    return parts[0].hexdigest()[:16], ends, found, None


class _Last:
    """The packets of one stream so far, in seconds from zero."""

    def __init__(self, clock: StreamClock) -> None:
        self.end = 0.0
        self.played = False
        self._clock = clock
        self._start: float | None = None  # of the last packet, in seconds of container time

    def steps_back(self, time: float | None) -> bool:
        """True if a packet at `time`, in seconds of container time, repeats audio or starts the clock again."""
        return time is not None and self._start is not None and time < self._start - JITTER_SECONDS

    def add(self, time: float | None, length: float) -> None:
        self.end = max(self.end, self._clock.seconds(time, self.end) + length)
        self.played = True
        self._start = self._start if time is None else time


def _description(stream: AudioStream, shift: float) -> bytes:
    tenths = to_ticks(shift, 10) if abs(shift) >= _SHIFT_SECONDS else 0
    codec = stream.codec_context
    return f"{codec_name(stream)} {codec.sample_rate} {codec.channels} {tenths}\n".encode()


def _payload(packet: Packet[Any], stream: AudioStream) -> memoryview:
    """The packet's bytes without the ADTS header, which AAC has in transport streams only."""
    payload = memoryview(packet)
    if codec_name(stream) != "aac" or stream.codec_context.extradata is not None or len(payload) <= 9:
        return payload
    if payload[0] != 0xFF or payload[1] & 0xF6 != 0xF0:
        return payload
    return payload[7 if payload[1] & 1 else 9 :]


def _frame_seconds(info: MediaInfo, packet: Packet[Any]) -> float:
    """Duration in seconds of a packet that does not state it: one frame of video, 0 otherwise."""
    video = info.video
    return 1.0 / video.fps if video and video.fps and packet.stream_index == video.index else 0.0
