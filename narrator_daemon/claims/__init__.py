"""The claim protocol: who may work on a book, who is alive, and what became of it."""
