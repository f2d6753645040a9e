"""The edges to Firebase: the project, its database, its stream, its bucket."""
