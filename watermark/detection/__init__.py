"""Finding marks: features, the place in the pattern, the evidence, and whose it is."""
