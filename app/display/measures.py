"""Names, units and formats of the signal measures, as terminal, report and review write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from manifests.recipe import MeasureName


@dataclass(frozen=True)
class MeasureText:
    """The text of a measure. `form`: a value with its unit. `unit`: the unit of the number itself, for a field."""

    title: str
    form: str
    unit: str = ""

    @property
    def field(self) -> str:
        """The name of a field in which the number is typed: "Bandwidth, Hz"."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def value(self, number: float) -> str:
        """The value with its unit."""
        return self.form.format(number)


MEASURES: Mapping[MeasureName, MeasureText] = {
    "loudness_lufs": MeasureText("Loudness", "{:.1f} LUFS", "LUFS"),
    "clipped": MeasureText("Clipped samples", "{:.2%}", "share"),
    "bandwidth_hz": MeasureText("Bandwidth", "{:,.0f} Hz", "Hz"),
    "dc": MeasureText("DC offset", "{:.3f}"),
    "dead_channels": MeasureText("Dead channels", "{:.0f}"),
    "copied_channels": MeasureText("Copied channels", "{:.0f}"),
    "mono_loss_db": MeasureText("Loss in the mono mix", "{:.1f} dB", "dB"),
    "dropouts": MeasureText("Dropouts per minute", "{:.1f}"),
    "still_share": MeasureText("Still video", "{:.0%}", "share"),
    "scene_cuts": MeasureText("Scene cuts per minute", "{:.1f}"),
    "av_difference": MeasureText("Audio longer than video", "{:+.1f} s", "s"),
}
