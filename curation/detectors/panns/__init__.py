"""PANNs (Kong et al. 2020, https://arxiv.org/abs/1912.10211): AudioSet's 527 classes by networks trained on sound.

`clip` tags windows with Cnn14, `frame` finds events with Cnn14_DecisionLevelMax, on weights that the user brings. Each
runs as the package panns-inference has it ("torch"), or in ONNX Runtime in float ("onnx") or in 8 bits ("int8").
"""

from .calibration import Report, calibrate

__all__ = ["Report", "calibrate"]
