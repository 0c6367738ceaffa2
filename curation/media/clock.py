"""Converts a stream's timestamps to seconds: broken timestamps must neither lose audio nor add hours of it."""

from __future__ import annotations

from dataclasses import dataclass

_AHEAD_SECONDS = 3600.0  # no hole in a recording is longer
_PAST_END_SECONDS = 10.0  # nor does one end this far after the header's end


@dataclass
class StreamClock:
    """Converts container times to seconds from zero.

    A time is plausible if it is at most `back_seconds` before the end of the audio or video read so far, and not
    absurdly late. An implausible one (a transport stream joined from two, a corrupt timestamp) is read as "directly
    after the last packet". Later times keep that correction until the raw times are plausible again.
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
