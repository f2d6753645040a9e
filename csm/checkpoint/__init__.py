"""A checkpoint on the hub or on this disk to weights on a device."""
