"""Pictures a second of PyTorch's DataLoader with DeiT's recipe, by timm's transforms of Pillow's pictures or by
torchvision's transforms (v2) of tensors."""

import json
import time

import peer  # first, because it says what to install
import PIL.ImageOps
import timm.data
import torch
from torchvision import datasets, io
from torchvision.transforms import v2


def flags(parser):
    parser.add_argument("--data", required=True, help="folder of folders of pictures, one for each class")
    parser.add_argument("--way", choices=["timm", "torchvision"], default="timm", help="whose transforms")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--batch", type=int, default=64, help="pictures of a batch")


def timm_way():
    """What timm's training script builds for the recipe."""
    transform = timm.data.create_transform(224, is_training=True, auto_augment="rand-m9-mstd0.5-inc1",
                                           interpolation="bicubic", re_prob=0.25, re_mode="pixel", re_count=1,
                                           color_jitter=None)
    return datasets.ImageFolder(a.data, transform)


def decode(path):
    return io.decode_image(path, mode=io.ImageReadMode.RGB)


def torchvision_way():
    """torchvision's own operations of the same names and strengths."""
    mean, std = timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD
    transform = v2.Compose([
        v2.RandomResizedCrop(224, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandAugment(num_ops=2, magnitude=9),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(mean, std),
        v2.RandomErasing(0.25),
    ])
    return datasets.ImageFolder(a.data, transform, loader=decode)


posterize = PIL.ImageOps.posterize


def posterize_at_least_one_bit(image, bits):
    """timm asks for no bits at all at the greatest strength, which newer versions of Pillow refuse."""
    return posterize(image, max(bits, 1))


def one_thread(worker):
    torch.set_num_threads(1)


PIL.ImageOps.posterize = posterize_at_least_one_bit
a = peer.parse(__doc__, flags)
dataset = timm_way() if a.way == "timm" else torchvision_way()
loader = torch.utils.data.DataLoader(dataset, batch_size=a.batch, shuffle=True, drop_last=True, num_workers=a.workers,
                                     persistent_workers=True, worker_init_fn=one_thread)


def batches():
    while True:
        yield from loader


endless = batches()
for _ in range(2 * a.workers + 1):  # what is ahead when the clock starts has been waited for
    next(endless)
pictures, began = 0, time.perf_counter()
while (elapsed := time.perf_counter() - began) < a.seconds or pictures == 0:
    pictures += len(next(endless)[0])
print(json.dumps({"variant": a.way, "images_per_second": pictures / elapsed} | peer.about()), flush=True)
