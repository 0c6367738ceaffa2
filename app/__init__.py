"""The `lpse` command: parse, call one function, show the result. The packages to its left do the work."""
