"""Writes tests/golden/decode/: small JPEG and PNG files of every kind, and what Pillow makes of them."""

import gzip
import io
import struct
import zlib

import numpy as np
from PIL import Image

import golden

HEIGHT, WIDTH = 37, 53


def picture(channels, height=HEIGHT, width=WIDTH):
    y, x = np.mgrid[:height, :width]
    planes = [128 + 100 * np.sin(x / (3 + c) + y / (9 - c)) + 20 * ((x // 8 + y // 5) % 2) for c in range(channels)]
    pixels = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return pixels if channels > 1 else pixels[..., 0]


def jpeg(pixels, mode=None, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels, mode).save(stream, "JPEG", quality=88, **options)
    return stream.getvalue()


def png(image, **options):
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def png16(channels):
    """16 bits a channel, which Pillow does not write."""
    pixels = (picture(channels, 9, 11).astype(np.uint16) * 251 + 77).astype(">u2")
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = struct.pack(">IIBBBBB", 11, 9, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ycck():
    """Pillow's CMYK file with the transform of Adobe's marker set to 2."""
    content = bytearray(jpeg(picture(4), "CMYK"))
    at = content.index(b"Adobe")
    content[at + 11] = 2
    return bytes(content)


def files():
    color, grey = picture(3), picture(1)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    palette = Image.fromarray(color).quantize(29)
    return {
        "grey.JPEG": jpeg(grey), "420.JPEG": jpeg(color, subsampling=2), "422.JPEG": jpeg(color, subsampling=1),
        "444.JPEG": jpeg(color, subsampling=0), "progressive.JPEG": jpeg(color, progressive=True),
        "rgb.JPEG": jpeg(color, keep_rgb=True), "restarts.JPEG": jpeg(color, restart_marker_blocks=2),
        "cmyk.JPEG": jpeg(picture(4), "CMYK"), "ycck.JPEG": ycck(), "exif.JPEG": jpeg(color, exif=exif),
        "pixel.JPEG": jpeg(picture(3, 1, 1)), "trailing.JPEG": jpeg(picture(3, 9, 7)) + b"more",
        "png.JPEG": png(Image.fromarray(color)), "grey.png": png(Image.fromarray(grey)),
        "palette.png": png(palette), "transparent.png": png(palette, transparency=3),
        "rgba.png": png(Image.fromarray(picture(4))), "la.png": png(Image.fromarray(picture(2, 9, 11), "LA")),
        "bits.png": png(Image.fromarray(grey).convert("1")), "la16.png": png16(2), "rgb16.png": png16(3),
        "rgba16.png": png16(4), "colorkey.png": png(Image.fromarray(color), transparency=tuple(int(v) for v in color[3, 4])),
    }


def main():
    store = golden.Store("decode", __doc__)
    lines, pixels = "", b""
    for name, content in files().items():
        image = Image.open(io.BytesIO(content)).convert("RGB")
        store.bytes(name, content)
        lines += f"{name} {image.height} {image.width}\n"
        pixels += image.tobytes()
    store.text("files.txt", lines)
    store.bytes("pixels.gz", gzip.compress(pixels, 9, mtime=0))
    store.close()


if __name__ == "__main__":
    main()
