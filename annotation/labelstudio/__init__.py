"""The interface to Label Studio: client, projects, task payloads, the labelling page, parsing of answers."""
