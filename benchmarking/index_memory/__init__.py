"""What an index of millions of keys costs: ours against a list of strings under torch's loader."""
