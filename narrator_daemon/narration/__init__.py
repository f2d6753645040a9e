"""A book's text to a finished file: segments, speech, mastering, mark, WAV."""
