"""Golden data of mixup and cutmix: mixed images, mixed targets, boxes and corrected ratios, as timm makes them.

timm draws the mixing ratio and the centre of the box at random; here both are given, everything else is timm's code.
Run: python make_data.py [--check]
"""

from unittest import mock

import numpy as np
import torch
from timm.data import mixup

import golden

CLASSES, SMOOTHING = 7, 0.1


def given_centre(row, column):
    """In the place of numpy's random integers: timm draws the row of the centre first, then the column."""
    return mock.patch("numpy.random.randint", side_effect=[row, column])


def save_mixed(store, images, labels):
    """One ratio and one kind of mixing for the whole batch; the partner of image b is image B - 1 - b."""
    cases = {  # name: cutmix?, ratio, centre of the box
        "mixup": (False, 0.3125, (0, 0)),
        "cutmix_inside": (True, 0.75, (3, 2)),
        "cutmix_corner": (True, 0.25, (0, 4)),  # the box leaves the image, so the ratio is corrected
        "cutmix_whole": (True, 0.0, (4, 2)),
        "unmixed": (False, 1.0, (0, 0)),
    }
    for case, (cutmix, ratio, centre) in cases.items():
        mix = mixup.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=SMOOTHING, num_classes=CLASSES)
        mix._params_per_batch = lambda: (ratio, cutmix)
        with given_centre(*centre):
            mixed, targets = mix(images.clone(), labels)
        store.array(f"{case}_ratio", ratio)
        store.array(f"{case}_centre", centre)
        store.array(f"{case}_images", mixed)
        store.array(f"{case}_targets", targets)


def save_boxes(store):
    """(height, width, ratio, row, column of the centre) -> (top, bottom, left, right), bottom and right excluded."""
    requests = [(28, 28, 0.5, 14, 14), (28, 28, 0.5, 0, 27), (28, 28, 0.96875, 20, 3), (28, 28, 0.9990234375, 5, 5),
                (224, 224, 0.3125, 100, 37), (224, 224, 0.0, 112, 112), (224, 224, 0.0, 0, 0),
                (17, 31, 0.4375, 16, 30), (17, 31, 0.75, 8, 15), (1, 1, 0.125, 0, 0), (64, 48, 1.0, 10, 10)]
    boxes, ratios = [], []
    for height, width, ratio, row, column in requests:
        with given_centre(row, column):
            box, corrected = mixup.cutmix_bbox_and_lam((1, 1, height, width), ratio)
        boxes.append([int(edge) for edge in box])
        ratios.append(float(corrected))
    store.array("boxes_requests", np.array(requests))
    store.array("boxes_edges", np.array(boxes))
    store.array("boxes_ratios", np.array(ratios))


store = golden.Store("data", __doc__)
normal = golden.Normal(seed=20)
images, labels = normal(4, 2, 6, 5), torch.tensor([3, 0, 3, 6])
store.array("images", images)
store.array("labels", labels)
save_mixed(store, images, labels)
save_boxes(store)
store.close()
