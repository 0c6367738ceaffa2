"""Benches: each prints figures beside their rivals'; `make bench-NAME` runs one."""
