"""What operators and rights holders ask for, one command a file."""
