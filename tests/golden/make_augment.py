"""Golden data of augmentation: Pillow's operations on small pictures, and timm's RandAugment, random crops, evaluation
transforms and repeated augmentation, with what they drew.

Run: python make_augment.py [--check]
"""

import random
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torchvision.transforms import InterpolationMode, functional
from timm.data import auto_augment, distributed_sampler, transforms, transforms_factory

import golden

FILL = (124, 116, 104)  # what comes from outside of a picture: ImageNet's mean


def picture(height, width, channels, seed):
    """Smooth shades, a flat patch and noise, neither black nor white; grey ones without the last axis."""
    noise = np.random.RandomState(seed).standard_normal((height, width, 3))
    y, x = np.mgrid[:height, :width]
    shades = np.stack([120 + 60 * np.sin(x / 5 + c) + 40 * np.cos(y / 7 - c) for c in range(3)], -1) + 12 * noise
    shades[height // 3:height // 2, width // 4:width // 2] = 200
    bytes_ = np.clip(shades, 10, 240).astype(np.uint8)
    return bytes_ if channels == 3 else bytes_[..., 0]


def moved(image, matrix, how):
    return image.transform(image.size, Image.AFFINE, matrix, resample=how, fillcolor=fill_of(image))


def fill_of(image):
    return FILL if image.mode == "RGB" else FILL[0]


def added(image, addition):
    return image.point([min(255, v + addition) if v < 128 else v for v in range(256)] * len(image.getbands()))


FACTORS = (0.1, 0.19, 0.7, 1.3, 1.81)
OPERATIONS = {  # what it is called: (what Pillow does, the values that are tried, whether pixels move)
    "auto_contrast": (lambda i, v, how: ImageOps.autocontrast(i), (0,), False),
    "equalize": (lambda i, v, how: ImageOps.equalize(i), (0,), False),
    "invert": (lambda i, v, how: ImageOps.invert(i), (0,), False),
    "posterize": (lambda i, v, how: ImageOps.posterize(i, v), (1, 3, 8), False),
    "solarize": (lambda i, v, how: ImageOps.solarize(i, v), (0, 26, 128, 256), False),
    "solarize_add": (lambda i, v, how: added(i, v), (0, 99), False),
    "color": (lambda i, v, how: ImageEnhance.Color(i).enhance(v), FACTORS, False),
    "contrast": (lambda i, v, how: ImageEnhance.Contrast(i).enhance(v), FACTORS, False),
    "brightness": (lambda i, v, how: ImageEnhance.Brightness(i).enhance(v), FACTORS, False),
    "sharpness": (lambda i, v, how: ImageEnhance.Sharpness(i).enhance(v), FACTORS, False),
    "grey": (lambda i, v, how: i.convert("L").convert(i.mode), (0,), False),
    "gaussian_blur": (lambda i, v, how: i.filter(ImageFilter.GaussianBlur(v)), (0.1, 0.7, 1.9, 6), False),
    "mirror": (lambda i, v, how: ImageOps.mirror(i), (0,), False),
    "rotate": (lambda i, v, how: i.rotate(v, how, fillcolor=fill_of(i)), (27, -30, 4.5, 180), True),
    "shear_x": (lambda i, v, how: moved(i, (1, v, 0, 0, 1, 0), how), (0.27, -0.1), True),
    "shear_y": (lambda i, v, how: moved(i, (1, 0, 0, v, 1, 0), how), (0.27, -0.1), True),
    "translate_x": (lambda i, v, how: moved(i, (1, 0, v, 0, 1, 0), how), (2.2, -3), True),
    "translate_y": (lambda i, v, how: moved(i, (1, 0, 0, 0, 1, v), how), (2.2, -3), True),
}
PICTURES = {"odd": (17, 21, 3), "grey": (9, 14, 1), "thin": (2, 7, 3), "one": (1, 1, 3)}


def save_operations(store):
    """A line of operations.txt for each case; PICTURE_results holds what became of the picture in each, in order."""
    cases = [(name, value, how) for name, (_, values, moves) in OPERATIONS.items() for value in values
             for how in (("bicubic", "bilinear") if moves else ("-",))]
    store.text("operations.txt", "".join(f"{name} {value} {how}\n" for name, value, how in cases))
    filters = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "-": None}
    for number, (name, sizes) in enumerate(PICTURES.items()):
        before = picture(*sizes, seed=number)
        after = [np.asarray(OPERATIONS[o][0](Image.fromarray(before), value, filters[how])) for o, value, how in cases]
        store.array(name, before.reshape(sizes))
        store.array(name + "_results", np.stack(after).reshape(-1, *sizes))


class Recorder(auto_augment.AugmentOp):
    """An operation of RandAugment that keeps what was drawn for it, and the picture after it."""

    log = []

    def __init__(self, number, op):
        self.__dict__.update(op.__dict__)
        self.number = number

    def __call__(self, image):
        drawn = [self.number, 0, 0, 0]

        def gauss(mean, deviation):
            drawn[2] = float(np.float32(np.random.normal(mean, deviation)))
            return drawn[2]

        def negate(value):
            drawn[3] = int(np.random.rand() < 0.5)
            return -value if drawn[3] else value

        with mock.patch("random.gauss", gauss), mock.patch.object(auto_augment, "_randomly_negate", negate):
            drawn[1] = int(np.random.rand() < self.prob)
            result = image
            if drawn[1]:
                keep, self.prob = self.prob, 1.0
                result = super().__call__(image)
                self.prob = keep
        drawn[2] = drawn[2] if self.magnitude_std > 0 else self.magnitude
        Recorder.log.append((drawn, np.asarray(result)))
        return result


def save_rand_augment(store):
    """TEXT_draws (images, layers, 4): operation, applied?, magnitude, negative?; TEXT_images: after each layer."""
    before = picture(12, 15, 3, seed=30)
    store.array("rand_before", before)
    for text, images in {"rand-m9-mstd0.5-inc1": 60, "rand-m6-n3-p0.8": 25}.items():
        np.random.seed(7)
        hparams = dict(img_mean=FILL, interpolation=Image.BICUBIC)
        transform = auto_augment.rand_augment_transform(text, hparams)
        transform.ops = [Recorder(number, op) for number, op in enumerate(transform.ops)]
        Recorder.log = []
        while len(Recorder.log) < images * transform.num_layers:
            done = len(Recorder.log)
            try:
                transform(Image.fromarray(before))
            except ValueError:  # Pillow 13 keeps no fewer than one bit, timm asks for none at magnitude 10
                del Recorder.log[done:]
        store.array(text + "_draws", np.array([drawn for drawn, _ in Recorder.log], np.float32))
        store.array(text + "_images", np.stack([after for _, after in Recorder.log]))


def save_crops(store):
    """crops: height, width, then the shares of the area and the logarithms of the ratios that were drawn up to the box
    that fitted (ten: none did), zeros for the rest; boxes: top, left, height, width, and what top and left were drawn
    from."""
    crops, boxes = [], []
    random.seed(3)
    uniform, randint = random.uniform, random.randint
    for height, width, scale, ratio in 20 * [(37, 53, (0.08, 1), (3 / 4, 4 / 3))] + 20 * [(90, 8, (0.3, 1), (0.5, 0.8))] + [
            (50, 500, (0.08, 1), (3 / 4, 4 / 3)), (500, 50, (0.9, 1), (3 / 4, 4 / 3)), (7, 1, (1, 1), (1, 1)),
            (30, 40, (1, 1), (3 / 4, 4 / 3))]:
        drawn, places = [], []

        def record(low, high):
            drawn.append(float(np.float32(uniform(low, high))))
            return drawn[-1]

        def place(low, high):
            places.append((randint(low, high), high))
            return places[-1][0]

        with mock.patch("random.uniform", record), mock.patch("random.randint", place):
            box = transforms.RandomResizedCropAndInterpolation.get_params(Image.new("L", (width, height)), scale, ratio)
        crops.append([height, width, *ratio, *drawn, *[0] * (20 - len(drawn))])
        boxes.append([*box, *[high for _, high in places], *[-1] * (2 - len(places))])
    store.array("crops", np.array(crops, np.float32))
    store.array("boxes", np.array(boxes))
    before = Image.fromarray(picture(*PICTURES["odd"], seed=0))
    resized = [(0, 0, 17, 21), (3, 4, 9, 11), (1, 2, 3, 18), (10, 0, 7, 5), (6, 6, 1, 1)]
    store.array("resized_boxes", np.array(resized))
    store.array("resized", np.stack([np.asarray(functional.resized_crop(before, *box, (14, 16), how))
                                     for box in resized for how in (InterpolationMode.BICUBIC, InterpolationMode.BILINEAR)]))


def save_evaluation(store):
    """evaluation.txt: picture, height, width, crop fraction; evaluation_images: the bytes, (3, height, width)."""
    sizes = [(19, 23), (23, 19), (9, 31), (14, 14), (40, 11)]
    targets = [(14, 14, 0.875), (14, 14, 1.0), (14, 14, 1.2), (10, 14, 0.9), (12, 7, 1.0), (9, 9, 1.3)]
    lines, images = [], []
    for number, (height, width) in enumerate(sizes):
        before = picture(height, width, 3, seed=40 + number)
        store.array(f"evaluated{number}", before)
        for rows, columns, fraction in targets:
            transform = transforms_factory.transforms_imagenet_eval(
                (rows, columns), crop_pct=fraction, interpolation="bicubic", normalize=False)
            images.append(np.asarray(transform(Image.fromarray(before))).ravel())
            lines.append(f"evaluated{number} {rows} {columns} {fraction}\n")
    store.text("evaluation.txt", "".join(lines))
    store.array("evaluation_images", np.concatenate(images))


def save_repeated(store):
    """The numbers of an epoch over 600 images, and the images of that order."""
    sampler = distributed_sampler.RepeatAugSampler(range(600), num_replicas=1, rank=0)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    numbers = list(sampler)
    store.array("repeated_order", order)
    store.array("repeated_numbers", np.array(numbers))


store = golden.Store("augment", __doc__)
save_operations(store)
save_rand_augment(store)
save_crops(store)
save_evaluation(store)
save_repeated(store)
store.close()
