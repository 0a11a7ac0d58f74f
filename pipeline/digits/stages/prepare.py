"""Stage `prepare`: fetch the digits, resize them once, write data/digits.h5."""

from __future__ import annotations

from digits.data import Digits, fetch, resize, save_digits
from digits.parameters import Parameters
from digits.paths import DIGITS
from equibasis.files import check_writable


def run(parameters: Parameters) -> None:
    """Write the resized training and test images."""
    check_writable(DIGITS)
    size = parameters.image_size
    train, test = fetch(parameters.data.source, parameters.data.root)
    digits = Digits(
        resize(train.images, size), resize(test.images, size), size, train.labels, test.labels
    )
    save_digits(digits, DIGITS)
    training, testing = len(digits.train), len(digits.test)
    print(f"{DIGITS}: {training:,} training and {testing:,} test images, {size}x{size}")
