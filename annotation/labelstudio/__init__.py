"""Label Studio seen from here: its client, projects, task payloads, the labelling page, answers parsed into records."""
