"""The local Cloud Storage."""
