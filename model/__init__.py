"""The video-to-audio base, its adapters, their training, generation and evaluation.

Nothing here touches annotation.
"""
