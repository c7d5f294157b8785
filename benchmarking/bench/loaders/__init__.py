"""The loaders, one small adapter each."""
