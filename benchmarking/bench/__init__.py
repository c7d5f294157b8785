"""The benchmark behind ``make bench``: loaders side by side on the same objects and endpoint.

Every run of a loader on a workload is a fresh process; the loaders take turns for several rounds, and medians, ratios
within a round and their spread are reported, so that a slow moment of the machine hits all of them alike.
"""
