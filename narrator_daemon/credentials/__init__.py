"""What a file says of itself: signed content credentials, by the C2PA standard."""
