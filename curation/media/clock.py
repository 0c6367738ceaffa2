"""Sense made of a stream's timestamps: broken ones must neither lose sound nor add hours of it."""

from __future__ import annotations

from dataclasses import dataclass

_AHEAD_SECONDS = 3600.0  # no hole in a recording is longer
_PAST_END_SECONDS = 10.0  # nor does one end this far after the header's end


@dataclass
class StreamClock:
    """Turns container times into seconds from zero.

    A time is believed when it is not long before what came last, nor absurdly late. One that is not believed
    (a transport stream glued from two, a timestamp hit by corruption) is read as "directly after the last
    one", and those after it keep that correction until the raw times make sense again.
    """

    zero: float
    duration: float | None
    back_seconds: float = 10.0  # stepping back less is overlap or reordering
    correction: float = 0.0

    def seconds(self, container_time: float | None, now: float) -> float:
        """Seconds from zero of `container_time`, where `now` is the end of what has come so far."""
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
