"""Measurements. Each module prints a table and writes JSON; README.md says how to run them."""
