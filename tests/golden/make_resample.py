"""Writes tests/golden/resample/: what Pillow's `resize` makes of small images and of boxes in them."""

import numpy as np
from PIL import Image

import golden

SIZES = {"odd": (23, 31), "wide": (5, 40), "pixel": (1, 1), "column": (17, 1)}
# input, box (top, left, height, width; None: all), output
CASES = [
    ("odd", None, (23, 31)), ("odd", None, (9, 12)), ("odd", None, (47, 60)), ("odd", None, (1, 1)),
    ("odd", None, (23, 8)), ("odd", None, (5, 31)), ("odd", (3, 4, 11, 17), (11, 17)), ("odd", (3, 4, 11, 17), (6, 5)),
    ("odd", (2.25, 3.7, 13.6, 20.1), (8, 8)), ("odd", (0.5, 0.25, 3.3, 2.9), (14, 16)), ("odd", (20, 29, 3, 2), (7, 9)),
    ("odd", (22.5, 0, 0.5, 31), (3, 4)), ("wide", None, (10, 3)), ("wide", None, (3, 90)), ("pixel", None, (4, 3)),
    ("pixel", (0.25, 0.25, 0.5, 0.5), (2, 2)), ("column", None, (5, 6)), ("column", (1, 0, 15, 1), (30, 1)),
]


def picture(size, channels, seed):
    """Noise over a gradient, and bytes of 0 and 255 beside one another, which a cubic overshoots."""
    stream = np.random.RandomState(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    base = (5 * x + 3 * y)[..., None] + stream.randint(0, 60, (height, width, channels))
    base[(x // 3 + y // 4) % 3 == 0] = 255
    base[(x // 5 + y // 2) % 4 == 1] = 0
    return np.clip(base, 0, 255).astype(np.uint8)


def main():
    store = golden.Store("resample", __doc__)
    inputs, results = b"", b""
    for channels in (1, 3):
        for size in SIZES.values():
            inputs += picture(size, channels, seed=channels).tobytes()
        for name, box, (height, width) in CASES:
            pixels = picture(SIZES[name], channels, seed=channels)
            image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
            top, left, tall, wide = box or (0, 0, *SIZES[name])
            for how in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
                results += image.resize((width, height), how, (left, top, left + wide, top + tall)).tobytes()
    store.bytes("inputs", inputs)
    store.bytes("results", results)
    store.array("sizes", np.array(list(SIZES.values())))
    numbers = [[list(SIZES).index(name), *(box or (0, 0, *SIZES[name])), *out] for name, box, out in CASES]
    store.array("cases", np.array(numbers, np.float32))  # input, box, output
    store.close()


if __name__ == "__main__":
    main()
