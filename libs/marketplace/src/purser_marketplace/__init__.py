"""A typed, asynchronous client of CloudBlue SimpleAPI 1.15."""
