"""The process: how it is put together, its life, its loops, and one job a book."""
