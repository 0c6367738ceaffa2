"""The audio stream of an open file as float samples in large pieces, whatever is broken inside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from manifests.time import to_ticks

from .probe import MediaError, audio_stream, one_line, read_packets, video_stream

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from av.container import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

ROUNDING_SECONDS = 0.002  # what a container's coarse clock alone can do to a timestamp
JITTER_SECONDS = 0.05  # timestamps wander by less in healthy files: containers round them to 1 ms or worse
_CUT_SECONDS = 0.1  # what a codec may put before the sound is less, and is cut off the first frames

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
    """Sound without a break: float32 (channels, n) that starts at `time`, in the container's own seconds.

    `time` is None where the container does not say. `lossy`: sound was lost directly before, so that only
    `time` can tell where this belongs.
    """

    time: float | None
    lossy: bool
    samples: NDArray[np.float32]


class Decoder:
    """Decodes the chosen audio stream of `container`; MediaError where there is none that can be decoded.

    Everything comes out with the sample rate and channels of the first frame. Packets that cannot be decoded
    are counted and left out.
    """

    def __init__(self, container: InputContainer) -> None:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError("no_audio_stream", f"{len(container.streams.video)} video streams, none of audio")
        if stream.codec_context is None:
            raise MediaError("decode_failed", "no decoder for the audio codec")
        self.rate = 0  # Hz, known with the first piece
        self.channels = 0
        self.errors = 0  # packets that failed so far
        self.step = 0  # samples that the length of every frame is a multiple of, but for the first ones, which are cut
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
        self._lossy = True  # nothing came before the first piece: its timestamp alone places it
        self._context.thread_count = 1

    @property
    def layout(self) -> str:
        """FFmpeg's name for what the channels are, "" before the first piece."""
        return "" if self._layout is None else self._layout.name

    @property
    def padding(self) -> int:
        """Samples of the last packet beyond the length it claims: codecs fill their last packet up."""
        if self._last is None or not self._last[0].duration:
            return 0
        packet, frames = self._last
        rate = frames[0].sample_rate
        beyond = sum(frame.samples for frame in frames) - to_ticks((packet.duration or 0) * self._tick, rate)
        return beyond if beyond > ROUNDING_SECONDS * rate else 0

    @property
    def is_coarse(self) -> bool:
        """Whether the container's clock ticks more slowly than the samples come."""
        return self._tick * (self._context.sample_rate or 0) > 1

    def seek(self, time: float) -> None:
        """Go on with the sound at or somewhat before container time `time`, if the file can be searched."""
        video = video_stream(self._container)
        # Matroska's index is of the pictures; a search for sound would read all that lies before.
        stream = video if video is not None and self._container.format.name == "matroska,webm" else self._stream
        with suppress(FFmpegError):
            self._container.seek(round(time / float(stream.time_base or 1)), stream=stream)

    def nothing(self) -> MediaError:
        """The error for a stream that gave no sample."""
        if not self.errors:
            return MediaError("no_samples", f"{self._packets_read} audio packets, no sample in them")
        of = f"{self.errors} errors in {self._packets_read} audio packets"
        return MediaError("decode_failed", f"{of}, the first: {self._first_error}")

    def pieces(self) -> Iterator[Piece]:
        """The sound in pieces of about a second, shorter where frames do not directly follow each other."""
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
        """(container time in seconds or None, frame, whether sound was lost directly before)."""
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
                    # Not frame.time: what comes at the end, without a packet, has lost its time base.
                    time = None if frame.pts is None else frame.pts * self._tick
                    for alike in self._convert(frame):
                        yield time, alike, self._lossy
                        time, self._lossy = None, False
            except FFmpegError as error:
                self._fail(one_line(error))
        yield from ((None, frame, False) for frame in self._end_conversion())

    def _packets(self) -> Iterator[Packet[Any] | None]:
        """The stream's packets, then None, which makes the decoder give what it holds back."""
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
        # PyAV reads a plane too many from planar frames of 8 channels and more, and crashes: pack those.
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
    """Frames that follow each other, gathered before NumPy sees them: cheaper than one by one."""

    def __init__(self, time: float | None, lossy: bool, first: AudioFrame) -> None:
        self.count = 0  # samples
        self._time = time
        self._lossy = lossy
        self._format_name = first.format.name
        self._rate = first.sample_rate
        self._fifo = AudioFifo()

    def continues(self, time: float | None, frame: AudioFrame) -> bool:
        """Whether `frame` directly follows, in the same sample format."""
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
        """What was gathered, integers scaled by 2^(bits - 1)."""
        joined = self._fifo.read()
        if joined is None:
            return Piece(self._time, self._lossy, np.empty((channels, 0), np.float32))
        kind, scale, silence = _SAMPLE_FORMATS[self._format_name.removesuffix("p")]
        if joined.format.is_planar:
            raw = np.stack([np.frombuffer(memoryview(plane), kind, self.count) for plane in joined.planes])
        else:
            packed = np.frombuffer(memoryview(joined.planes[0]), kind, self.count * channels)
            raw = packed.reshape(-1, channels).T
        with np.errstate(over="ignore", invalid="ignore"):  # float formats can hold anything
            samples = np.require(raw, np.float32, ["C", "W"])
            if scale != 1.0:
                samples -= silence
                samples *= np.float32(scale)
            if not np.isfinite(samples.sum()):  # one NaN would spread; looking at the sum alone is quick
                np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return Piece(self._time, self._lossy, samples)
