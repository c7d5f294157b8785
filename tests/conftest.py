"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A deadline for an example is a timed test: a busy machine would fail it.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
