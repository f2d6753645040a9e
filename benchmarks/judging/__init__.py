"""What the judges of takes are measured on: narrations, and ways to spoil them."""
