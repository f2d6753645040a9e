"""Segments to speech: the model, its slots, and the streams that share them."""
