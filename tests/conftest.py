"""What all tests share."""

from __future__ import annotations

import signal

from hypothesis import settings

# A deadline for an example is a timed test: a busy machine would fail it.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# A shell ignores SIGINT in what it starts in the background, and each child inherits that: the tests of Ctrl-C would
# wait for what cannot come. Python's own handler, unlike an ignored signal, is reset when a child executes a program.
signal.signal(signal.SIGINT, signal.default_int_handler)
