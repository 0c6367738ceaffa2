"""PANNs (Kong et al. 2020, https://arxiv.org/abs/1912.10211): audio networks for AudioSet's 527 classes.

`clip` tags windows with Cnn14, `frame` detects events with Cnn14_DecisionLevelMax; the user supplies the weights. Each
runs in the package panns-inference ("torch"), or in ONNX Runtime in float ("onnx") or in 8 bits ("int8").
"""

from .calibration import Report, calibrate

__all__ = ["Report", "calibrate"]
