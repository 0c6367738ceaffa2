"""The demonstration: long videos built from real recordings, and what curation finds in them."""
