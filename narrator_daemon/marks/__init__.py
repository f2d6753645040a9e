"""Whose a file is: watermark keys, the indices that books are given, and finding them again."""
