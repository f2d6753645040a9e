"""Kokoro-82M by onnxruntime: a voice for machines without a GPU."""
