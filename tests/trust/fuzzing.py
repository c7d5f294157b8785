"""What the fuzz tests share: any value at all, and the secret that no message may show."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
SECRET = "wJalrXUtnFEMIsecret"

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12))
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner))
ANYTHING = st.one_of(SCALARS, st.binary(max_size=8), st.lists(SCALARS, max_size=3), st.tuples(SCALARS), st.just(object))


def arguments(*names):
    """Some of the named arguments, with any value."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANYTHING))
