"""Words, numbers and pictures for people, shared by terminal, report and review."""
