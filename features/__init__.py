"""What a model is fed: encoders of accepted cuts (visual, sync, text, audio latents) and their Parquet cache.

Nothing here trains.
"""
