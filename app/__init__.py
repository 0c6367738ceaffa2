"""The `lpse` command: parse, call one function, show the result. It imports from every other package."""
