"""Text, numbers, tracks and spectrograms for people, shared by terminal, report and review."""
