"""The loader's own decisions on a real endpoint: the number in flight, second attempts, and throttling."""
