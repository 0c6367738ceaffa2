"""The commands of lpse, one module a verb: parse, call one function, show the result."""
