"""What runs in Label Studio's own environment: nothing here is imported by us, and it may import only Django.

`lpse_launch.py` is started as a script, so its folder, and nothing else of ours, is on that process's path.
"""
