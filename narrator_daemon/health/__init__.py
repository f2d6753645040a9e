"""How the daemon is, and how those who ask are told."""
