"""Decodes the audio stream of an open file to float samples in large pieces, and survives damaged packets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from manifests.time import to_ticks

from .container import MediaError, one_line
from .packets import read_packets, seek
from .tracks import video_stream

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

ROUNDING_SECONDS = 0.002  # what a container's coarse clock alone can do to a timestamp
JITTER_SECONDS = 0.05  # timestamps of healthy files deviate by less: containers round them to 1 ms or worse
_CUT_SECONDS = 0.1  # codecs put less than this before the audio; it is cut off the first frames

# Sample format to (stored type, factor, stored value of silence).
_SAMPLE_FORMATS: dict[str, tuple[type[np.generic], float, int]] = {
    "u8": (np.uint8, 2.0**-7, 128),
    "s16": (np.int16, 2.0**-15, 0),
    "s32": (np.int32, 2.0**-31, 0),  # 24 bits too: they arrive shifted to the top
    "s64": (np.int64, 2.0**-63, 0),
    "flt": (np.float32, 1.0, 0),
    "dbl": (np.float64, 1.0, 0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Audio without a gap: float32 (channels, n) that starts at `time`, in seconds of container time.

    `time` is None if the container does not state it. `lossy`: audio was lost directly before, so that only `time` can
    place this piece.
    """

    time: float | None
    lossy: bool
    samples: NDArray[np.float32]


class Decoder:
    """Decodes an audio stream of `container`. Raises MediaError if it cannot be decoded.

    All output has the sample rate and channels of the first frame. Packets that cannot be decoded are counted and left
    out.
    """

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        if stream.codec_context is None:
            raise MediaError("decode_failed", "no decoder for the audio codec")
        self.rate = 0  # Hz, known with the first piece
        self.channels = 0
        self.errors = 0  # packets that failed so far
        self.step = 0  # every frame's length is a multiple of it, in samples, except the first ones, which are cut
        self._samples = 0
        self._packets_read = 0
        self._first_error = ""
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        self._tick = float(stream.time_base or 0)
        self._last: tuple[Packet[Any], list[AudioFrame]] | None = None
        self._layout: AudioLayout | None = None
        self._converter: AudioResampler | None = None
        self._converted = (0, "", "")
        self._lossy = True  # nothing precedes the first piece: its timestamp alone places it
        self._context.thread_count = 1

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channel layout, "" before the first piece."""
        return "" if self._layout is None else self._layout.name

    @property
    def padding(self) -> int:
        """Samples of the last packet beyond its claimed length: codecs pad their last packet."""
        if self._last is None or not self._last[0].duration:
            return 0
        packet, frames = self._last
        rate = frames[0].sample_rate
        excess = sum(frame.samples for frame in frames) - to_ticks((packet.duration or 0) * self._tick, rate)
        return excess if excess > ROUNDING_SECONDS * rate else 0

    @property
    def is_coarse(self) -> bool:
        """True if a tick of the container's clock is longer than a sample."""
        return self._tick * (self._context.sample_rate or 0) > 1

    def seek(self, time: float) -> bool:
        """Continue at or somewhat before container time `time`; False if the file must be read from its beginning."""
        video = video_stream(self._container)
        # Matroska's index is of the video; seeking in the audio would read everything before.
        by_video = video is not None and self._container.format.name == "matroska,webm"
        return seek(self._container, video if video is not None and by_video else self._stream, time)

    def nothing(self) -> MediaError:
        """The error for a stream without a decoded sample."""
        if not self.errors:
            return MediaError("no_samples", f"{self._packets_read} audio packets without a sample")
        of = f"{self.errors} errors in {self._packets_read} audio packets"
        return MediaError("decode_failed", f"{of}, the first: {self._first_error}")

    def pieces(self) -> Iterator[Piece]:
        """Yield the audio in pieces of about a second, shorter where frames do not directly follow each other."""
        run: _Run | None = None
        for time, frame, lossy in self._frames():
            if run is not None and (lossy or run.count >= self.rate or not run.continues(time, frame)):
                yield run.piece(self.channels)
                run = None
            if run is None:
                run = _Run(time, lossy, frame)
            run.add(frame)
        if run is not None:
            yield run.piece(self.channels)

    def _frames(self) -> Iterator[tuple[float | None, AudioFrame, bool]]:
        """Yield (container time in seconds or None, frame, True if audio was lost directly before)."""
        for packet in self._packets():
            try:
                frames = self._context.decode(packet)
                if packet is not None and frames:
                    self._last = packet, frames
                for frame in frames:
                    if frame.is_corrupt:
                        self._fail("damaged packet")
                        continue
                    if self._samples > _CUT_SECONDS * frame.sample_rate:
                        self.step = math.gcd(self.step, frame.samples)
                    self._samples += frame.samples
                    # Not frame.time: frames flushed at the end, without a packet, have lost their time base.
                    time = None if frame.pts is None else frame.pts * self._tick
                    for alike in self._convert(frame):
                        yield time, alike, self._lossy
                        time, self._lossy = None, False
            except FFmpegError as error:
                self._fail(one_line(error))
        yield from ((None, frame, False) for frame in self._end_conversion())

    def _packets(self) -> Iterator[Packet[Any] | None]:
        """Yield the stream's packets, then None, which flushes the decoder."""
        for packet in read_packets(self._container, [self._stream], self._fail):
            self._packets_read += 1
            yield packet
        yield None

    def _fail(self, why: str) -> None:
        self.errors += 1
        self._first_error = self._first_error or why
        self._lossy = True

    def _convert(self, frame: AudioFrame) -> list[AudioFrame]:
        """`frame` with the rate and channels of the first one, in a layout that is safe to read."""
        layout = frame.layout
        if self._layout is None:
            self.rate, self._layout, self.channels = frame.sample_rate, layout, layout.nb_channels
        same = frame.sample_rate == self.rate and layout.nb_channels == self.channels
        # PyAV reads one plane too many from planar frames of 8 channels and more, and crashes: pack those.
        if same and (self.channels < 8 or not frame.format.is_planar):
            return [frame] if self._converter is None else [*self._end_conversion(), frame]
        key = (frame.sample_rate, layout.name, frame.format.name)
        before: list[AudioFrame] = []
        if self._converter is None or key != self._converted:
            before = self._end_conversion()
            self._converter = AudioResampler(format="flt", layout=self._layout, rate=self.rate)
            self._converted = key
        return before + self._converter.resample(frame)

    def _end_conversion(self) -> list[AudioFrame]:
        if self._converter is None:
            return []
        converter, self._converter = self._converter, None
        try:
            return [frame for frame in converter.resample(None) if frame.samples]
        except FFmpegError as error:
            self._fail(one_line(error))
            return []


class _Run:
    """Consecutive frames, gathered before the conversion to NumPy: cheaper than one by one."""

    def __init__(self, time: float | None, lossy: bool, first: AudioFrame) -> None:
        self.count = 0  # samples
        self._time = time
        self._lossy = lossy
        self._format_name = first.format.name
        self._rate = first.sample_rate
        self._fifo = AudioFifo()

    def continues(self, time: float | None, frame: AudioFrame) -> bool:
        """True if `frame` directly follows, in the same sample format."""
        if frame.format.name != self._format_name:
            return False
        if time is None or self._time is None:
            return time is None
        return abs(time - self._time - self.count / self._rate) <= JITTER_SECONDS

    def add(self, frame: AudioFrame) -> None:
        frame.pts = None  # the fifo would insist on timestamps without any jitter
        self._fifo.write(frame)
        self.count += frame.samples

    def piece(self, channels: int) -> Piece:
        """The gathered frames as float32, integers scaled by 2^(bits - 1)."""
        joined = self._fifo.read()
        if joined is None:
            return Piece(self._time, self._lossy, np.empty((channels, 0), np.float32))
        kind, scale, silence = _SAMPLE_FORMATS[self._format_name.removesuffix("p")]
        if joined.format.is_planar:
            raw = np.stack([np.frombuffer(memoryview(plane), kind, self.count) for plane in joined.planes])
        else:
            packed = np.frombuffer(memoryview(joined.planes[0]), kind, self.count * channels)
            raw = packed.reshape(-1, channels).T
        with np.errstate(over="ignore", invalid="ignore"):  # float formats can hold any value
            samples = np.require(raw, np.float32, ["C", "W"])
            if scale != 1.0:
                samples -= silence
                samples *= np.float32(scale)
            if not np.isfinite(samples.sum()):  # one NaN would spread; testing the sum alone is quick
                np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return Piece(self._time, self._lossy, samples)
