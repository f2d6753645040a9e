"""What the model and its kernels both compute with: weights, heads, slots and their state."""
