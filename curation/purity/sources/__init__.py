"""Sources of training audio: gathers them from packages and folders, checks their labels, and reads the pool."""
