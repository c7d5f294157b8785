"""How long the first batch takes, and what it could not do without: worker start, one round trip, one batch."""
