"""What comes in: the media files below folders, each with a source id and a signature."""
