"""Measurement of purity detectors: recall by level at a fixed share of false alarms."""
