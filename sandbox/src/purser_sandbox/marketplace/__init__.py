"""SimpleAPI 1.15 over the world: authentication, reading, ordering."""
