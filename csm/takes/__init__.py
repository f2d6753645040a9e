"""Is a take fit to be heard? Measured, judged, and drawn again where it is not."""
