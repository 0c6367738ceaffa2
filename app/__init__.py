"""The `lpse` command: parse, call one function, show the result. What it calls stands to the left."""
