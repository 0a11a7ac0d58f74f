"""Stage `prepare`: fetch the digits, resize them once, write data/digits.h5."""

from __future__ import annotations

from equibasis.files import check_writable
from equibasis.stages.digits import Digits, fetch, resize, save_digits
from equibasis.stages.parameters import Parameters
from equibasis.stages.paths import DIGITS


def run(parameters: Parameters) -> None:
    """Write the resized training and test images."""
    check_writable(DIGITS)
    size = parameters.image_size
    train, test = fetch(parameters.data.source, parameters.data.root)
    digits = Digits(resize(train, size), resize(test, size), size)
    save_digits(digits, DIGITS)
    print(f"{DIGITS}: {len(train):,} training and {len(test):,} test images, {size}x{size}")
