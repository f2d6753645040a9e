"""Spoken segments to one narration: joins, pauses, levels, loudness."""
