#!/usr/bin/python3
"""Writes a folder of photographs as people have them, of two classes of CIFAR-10 or Fashion-MNIST, to try heft train --data on.

  examples/image_folder.py SOURCE OUT            e.g. examples/image_folder.py cifar-10-batches-bin my_images
  heft inspect data my_images
  heft train --data my_images --image-size 32 --broken skip --model resnet20

SOURCE is the folder of CIFAR-10's binary version (data_batch_1.bin) or of Fashion-MNIST's files (train-images-idx3-ubyte.gz). OUT
gets {train,val}/CLASS/: images of many sizes, every other one a JPEG, of these some on their side with an orientation in their EXIF
data, and, unless --clean, a GIF, a JPEG that is cut short, a text and a PNG whose header promises two thousand million pixels a side.
Needs Debian's python3-pil and python3-numpy.

Exit codes: 0 success, 2 wrong argument, or no such data.
"""
import argparse
import gzip
import pathlib
import random
import struct
import sys
import zlib

import numpy
from PIL import Image

CIFAR = "airplane automobile bird cat deer dog frog horse ship truck".split()
FASHION = "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot".split()
TURNED = {3: Image.ROTATE_180, 6: Image.ROTATE_90, 8: Image.ROTATE_270}  # how a picture lies that is to be turned back


def read_source(source):
    """Images and labels of the training set, and the names of the classes."""
    if (source / "data_batch_1.bin").exists():
        rows = numpy.fromfile(source / "data_batch_1.bin", numpy.uint8).reshape(-1, 3073)
        return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0], CIFAR
    if (source / "train-images-idx3-ubyte.gz").exists():
        images = gzip.decompress((source / "train-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((source / "train-labels-idx1-ubyte.gz").read_bytes())[8:]
        return numpy.frombuffer(images, numpy.uint8).reshape(-1, 28, 28), numpy.frombuffer(labels, numpy.uint8), FASHION
    print(f"image_folder.py: expected data_batch_1.bin or train-images-idx3-ubyte.gz in {source}; there is neither", file=sys.stderr)
    sys.exit(2)


def write_image(pixels, folder, number, chance):
    """Enlarged, to the shape that a crop of it happens to have."""
    side = pixels.shape[0]
    image = Image.fromarray(pixels).crop((0, 0, chance.randint(side - 4, side), chance.randint(side - 4, side)))
    scale = chance.uniform(1, 12)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BICUBIC)
    if number % 2:
        image.save(folder / f"{number}.png")
        return
    options = {"quality": chance.randint(70, 95)}
    if number % 10 == 0:
        orientation = chance.choice(list(TURNED))
        image, exif = image.transpose(TURNED[orientation]), Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    image.save(folder / f"{number}.jpg", **options)


def plant_defects(train):
    first, second = sorted(train.iterdir())
    Image.new("P", (20, 20), 3).save(first / "moving.gif")
    jpeg = next(first.glob("*.jpg")).read_bytes()
    (first / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (second / "notes.txt").write_text("Taken in spring.\n")
    header = b"IHDR" + struct.pack(">IIBBBBB", 2000000000, 2000000000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (second / "huge.png").write_bytes(png + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--classes", type=int, nargs=2, default=[1, 8], help="labels of the two [1 8]")
    parser.add_argument("--train", type=int, default=160, help="training images of each [160]")
    parser.add_argument("--val", type=int, default=40, help="validation images of each [40]")
    parser.add_argument("--clean", action="store_true", help="without the broken files")
    options = parser.parse_args()
    images, labels, names = read_source(options.source)
    chance = random.Random(1)
    for label in options.classes:
        numbers = iter(numpy.flatnonzero(labels == label))
        for part, count in (("train", options.train), ("val", options.val)):
            folder = options.out / part / names[label]
            folder.mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                number = int(next(numbers))
                write_image(images[number], folder, number, chance)
    if not options.clean:
        plant_defects(options.out / "train")


main()
