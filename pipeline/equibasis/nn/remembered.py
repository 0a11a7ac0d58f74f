"""Results that are kept as long as what they are of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

Of = TypeVar("Of")
Made = TypeVar("Made")


def remembered(function: Callable[[Of], Made]) -> Callable[[Of], Made]:
    """A function of one object that never changes, which is called once for each such object.

    What it makes must not refer to the object, which would then live for ever.
    """
    made: WeakKeyDictionary[Of, Made] = WeakKeyDictionary()

    @functools.wraps(function)
    def once(of: Of) -> Made:
        if of not in made:
            made[of] = function(of)
        return made[of]

    return once
