"""CSM: text to segments, segments to speech, speech to a mastered narration."""

#: Samples a second of all audio in this package.
SAMPLE_RATE = 24_000
