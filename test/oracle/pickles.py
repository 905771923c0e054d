"""Writes the two forms in which the course's data sets are pickled, small: `python3 pickles.py` fills the folder pickles/."""

import os
import pickle

import numpy as np

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pickles")
os.makedirs(here, exist_ok=True)


def images(count: int, first: int) -> np.ndarray:
    """Two bits a channel: pixel p of image i is (first + i + p) mod 4, over [4, 4, 3]."""
    return np.stack([((first + i + np.arange(48)) % 4).reshape(4, 4, 3) for i in range(count)]).astype(np.uint8)


texts = ["light red 7 on dark blue", "plain cyan 0 on bright pink", "dark gray 3 on light white"]
for protocol in (0, 2, 4):
    with open(os.path.join(here, f"mnist_colored-{protocol}.pkl"), "wb") as file:
        pickle.dump({"train": images(3, 0), "test": images(2, 10)}, file, protocol=protocol)
with open(os.path.join(here, "colored_mnist_with_text.pkl"), "wb") as file:
    pickle.dump((images(3, 0), images(2, 10), texts, texts[:2]), file)


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch executed",)


with open(os.path.join(here, "evil.pkl"), "wb") as file:
    pickle.dump({"train": Evil(), "test": images(2, 10)}, file)
