"""Which book is next: what waits, who asked for it, and who has had his share."""
