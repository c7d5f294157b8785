"""``python -m benchmarking.decode_speed``: what each decoder costs, alone and in the loader."""
