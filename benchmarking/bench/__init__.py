"""The benchmark behind ``make bench``: loaders side by side on the same objects and endpoint.

Every run of a loader on a workload has a process of its own; the loaders take turns for several rounds, so that a slow
moment of the machine hits all of them alike. Medians with their spread are reported, and the ratios of the medians.
"""
