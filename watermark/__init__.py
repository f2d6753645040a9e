"""The keyed watermark."""
