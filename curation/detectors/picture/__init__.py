"""The detector of video: stillness and scene cuts, scored where cuts survived on their audio."""
