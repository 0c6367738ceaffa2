"""Finds the media files to curate; each gets a source id and a signature."""
