"""What tests and drills ask of the local Firebase beside its service: faults and counts."""
