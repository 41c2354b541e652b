#!/usr/bin/python3
"""Writes images.json beside this file: small image files as Pillow writes them (hex) with the pixels that Pillow reads from them, and what its
Image.resize makes of an image (tests/data/image_test.cpp and resize_test.cpp). Needs Debian's python3-pil; made with 9.4.
Run: /usr/bin/python3 tests/golden/make_images.py
"""
import io
import json
import pathlib
import random

from PIL import Image, ImageOps


def smooth(width, height, mode):
    """A picture without hard edges, so that decoders differ by rounding alone."""
    image = Image.new(mode, (width, height))
    for y in range(height):
        for x in range(width):
            values = [(40 + 9 * x + 3 * y) % 256, 220 - 7 * y, 30 + 5 * x + 5 * y, 60 + 2 * x]
            bands = len(image.getbands())
            image.putpixel((x, y), values[0] if bands == 1 else tuple(values[:bands]))
    return image


def noise(width, height, mode, seed):
    numbers = random.Random(seed)
    count = width * height * len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), bytes(numbers.randrange(256) for _ in range(count)))


def file_of(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def entry(data):
    image = Image.open(io.BytesIO(data))
    rgb = image.convert("RGB")
    return {"file": data.hex(), "width": image.width, "height": image.height, "bands": len(image.getbands()),
            "rgb": rgb.tobytes().hex()}


def resized(image, size, box):
    return {"width": image.width, "height": image.height, "channels": len(image.getbands()), "pixels": image.tobytes().hex(),
            "box": box, "to": list(size), "expected": image.resize(size, Image.BILINEAR, box=tuple(box)).tobytes().hex()}


palette = noise(6, 5, "RGB", 3).quantize(8)
files = {
    "jpeg_420": entry(file_of(smooth(19, 13, "RGB"), "JPEG", quality=90)),
    "jpeg_444": entry(file_of(smooth(9, 10, "RGB"), "JPEG", quality=90, subsampling=0)),
    "jpeg_progressive": entry(file_of(smooth(19, 13, "RGB"), "JPEG", quality=90, progressive=True, subsampling=0)),
    "jpeg_grey": entry(file_of(smooth(12, 7, "L"), "JPEG", quality=90)),
    "jpeg_cmyk": entry(file_of(smooth(8, 8, "CMYK"), "JPEG", quality=90)),
    "png_rgb": entry(file_of(noise(7, 5, "RGB", 1), "PNG")),
    "png_grey": entry(file_of(noise(5, 8, "L", 2), "PNG")),
    "png_palette": entry(file_of(palette, "PNG")),
    "png_bits": entry(file_of(noise(11, 3, "L", 4).convert("1"), "PNG")),
}
resizes = [
    resized(noise(23, 17, "RGB", 5), (8, 8), [3, 0, 20, 17]),
    resized(noise(23, 17, "L", 6), (6, 9), [0, 0, 23, 17]),
    resized(noise(7, 5, "RGB", 7), (12, 11), [0, 0, 7, 5]),
    resized(noise(40, 9, "RGB", 8), (10, 10), [15.5, 0, 24.5, 9]),
    resized(noise(30, 31, "L", 9), (10, 13), [2.25, 3.5, 27.75, 30.25]),
]


def turned(orientation):
    """A picture that says how it is to be turned, and that picture upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(smooth(9, 10, "RGB"), "JPEG", quality=90, subsampling=0, exif=exif.tobytes())
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return {"file": data.hex(), "width": upright.width, "height": upright.height, "rgb": upright.tobytes().hex()}


orientations = [turned(i) for i in range(1, 9)]
text = json.dumps({"files": files, "orientations": orientations, "gif": file_of(noise(4, 4, "L", 10), "GIF").hex(), "resizes": resizes}, indent=1)
pathlib.Path(__file__).with_name("images.json").write_text(text + "\n")
