"""A long run of the loader against an endpoint full of faults, which compares every sample with what it must be."""
