"""Code that runs in Label Studio's environment: lpse never imports it, and it may import only Django.

`lpse_launch.py` is started as a script, so only its folder is on that process's path.
"""
