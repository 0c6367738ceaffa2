"""The tests: a folder for each room of the product, and `support` with what they share."""
