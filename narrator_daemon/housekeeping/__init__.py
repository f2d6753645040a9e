"""What any replica does for the whole fleet: reaping, reconciling, renewing, sweeping."""
