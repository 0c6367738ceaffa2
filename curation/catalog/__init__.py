"""Search and count: the tables as one catalog, its filters, and the account of every recorded second."""
