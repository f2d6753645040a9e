"""Kernels of a frame on a GPU, one file each, beside the plain torch that they agree with."""
