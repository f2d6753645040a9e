"""What all rooms agree on about sound: float32 mono, shape ``[n]``, full scale 1."""

#: Samples a second of all audio in this package.
SAMPLE_RATE = 24_000
