"""Finding and counting: the tables as one searchable catalog, its filters, and an account of every recorded second."""
