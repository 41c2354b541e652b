"""Writes the seeds of the fuzz targets: small files that are right, and some that are nearly so. python3 tests/fuzz/make_corpus.py"""
import gzip
import json
import os
import struct
import zlib

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def put(target, name, data):
    os.makedirs(os.path.join(HERE, target), exist_ok=True)
    with open(os.path.join(HERE, target, name), "wb") as file:
        file.write(data)


def idx(*shape):
    count = 1
    for extent in shape:
        count *= extent
    return struct.pack(">I%dI" % len(shape), 0x800 | len(shape), *shape) + bytes(i % 251 for i in range(count))


for shape in ((3,), (2, 3), (2, 3, 4), (1, 2, 3, 2), (0, 5)):
    name = "x".join(map(str, shape))
    put("idx", name, idx(*shape))
    put("idx", name + ".gz", gzip.compress(idx(*shape), mtime=0))
    put("gzip", name, bytes((0, 0, 0, 0)) + idx(*shape))
put("idx", "longer", idx(2, 3) + b"x")
put("idx", "huge", struct.pack(">IIII", 0x803, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
put("idx", "none_of_many", struct.pack(">IIIII", 0x804, 0, 0xFFFFFFFF, 0xFFFFFFFF, 2))  # strides beyond 64 bits
put("gzip", "none_of_many", bytes((0, 0, 0, 0)) + struct.pack(">IIIII", 0x804, 0, 0xFFFFFFFF, 0xFFFFFFFF, 2))
put("idx", "two_members.gz", gzip.compress(idx(3), mtime=0) * 2)
put("gzip", "flipped", bytes((12, 0, 255, 0)) + idx(2, 3))
put("gzip", "cut", bytes((0, 0, 0, 9)) + idx(2, 3))

put("cifar", "ten", bytes((0, 7)) + bytes(3072))
put("cifar", "hundred", bytes((1, 19, 99)) + bytes(3072))
put("cifar", "label", bytes((0, 10)) + bytes(3072))
put("cifar", "short", bytes((0, 1)) + bytes(100))

for descr, data in (("<f4", bytes(24)), ("<f8", bytes(48)), ("|u1", bytes(6)), ("<i4", bytes(24)), ("<i8", bytes(48)), ("|b1", bytes(6))):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (2, 3), }" % descr
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    put("npy", descr[1:], b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)
header = "{'descr': '|O', 'fortran_order': True, 'shape': (9999999999, 9999999999), }\n"
put("npy", "object", b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header.encode())




def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, extra=b"", interlace=0):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


grey = b"".join(bytes((0, 10 * y, 20 * y, 30 * y)) for y in range(2))
put("image", "grey.png", b"\0" + png(3, 2, 8, 0, grey))
put("image", "rgb.png", b"\1" + png(2, 2, 8, 2, bytes(2 * 7)))
put("image", "rgba.png", b"\1" + png(2, 2, 8, 6, bytes((0,) + (200,) * 8) * 2))
put("image", "sixteen.png", b"\0" + png(2, 1, 16, 0, bytes(5)))
put("image", "palette.png", b"\1" + png(4, 1, 2, 3, bytes((0, 0b00011011)), chunk(b"PLTE", bytes(range(12)))))
put("image", "interlaced.png", b"\0" + png(1, 1, 8, 0, bytes((0, 7)), interlace=1))
put("image", "huge.png", b"\0" + png(2**31 - 1, 2**31 - 1, 8, 2, b""))
put("image", "cut.png", b"\0" + png(3, 2, 8, 0, grey)[:-20])
put("image", "gif", b"\0GIF89a" + bytes(20))
try:
    import io

    from PIL import Image

    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            file = io.BytesIO()
            Image.new(mode, (9, 7), 77).save(file, "JPEG", progressive=progressive)
            put("image", mode + ("-progressive" if progressive else "") + ".jpg", b"\1" + file.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (9, 7), 77).save(file, "JPEG", exif=exif.tobytes())
    put("image", "exif.jpg", b"\1" + file.getvalue())
except ImportError:
    print("without Pillow: the JPEG files stay as they are")

put("csv", "commas", b"," * 1200)
put("csv", "plain", b"path,label\na.png,cat\nb.png,dog\n")
put("csv", "quoted", b'\xef\xbb\xbf"a ""b"", c\nd",x\r\n\r\n"",\n')
put("csv", "open", b'"a,b\nc')
put("csv", "zero", b"a\0b,c\n")


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


put("safetensors", "empty", safetensors({}))
put("safetensors", "metadata", safetensors({"__metadata__": {"format": "pt"}}))
tensors, at = {}, 0
for name, dtype, shape, size in (("a", "F64", [2], 16), ("b.weight", "F32", [2, 2], 16), ("c", "I64", [], 8), ("d", "I32", [1], 4), ("e", "U8", [3], 3), ("f", "BOOL", [1], 1), ("g", "F32", [0, 4], 0)):
    tensors[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
    at += size
put("safetensors", "all", safetensors(tensors, bytes(at)))
put("safetensors", "narrow", safetensors({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}, "b": {"dtype": "BF16", "shape": [1], "data_offsets": [4, 6]}}, b"\x00\x3c\x01\x80\xc0\x7f"))
put("safetensors", "overlap", safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(12)))
put("safetensors", "wraps", safetensors({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}))

put("safetensors", "nested", safetensors({"a": {"shape": [{}] * 20}}))
put("safetensors", "long", safetensors({"a": {"shape": [1] * 20}}))

study = """name = 'a'
seeds = [0, 1]
baseline = 'SGD'
report = 'last'
[choosing]
validation = 0.2
seeds = [7]
[shots]
many = 100
few = 20
[base]
epochs = 2
data.imbalance = 'exp:0.01'
[[dataset]]
name = 'tail'
[[method]]
name = 'SGD'
[[method]]
name = 'ABSGD'
datasets = ['tail']
optimizer = 'absgd'
loss_options.label_smoothing = 0.1
[method.choose]
lambda = [1, inf, -5e0]
"""
put("study", "whole", study.encode())
put("study", "unknown", b"seeds = [0]\nlamda = 5\n")
put("study", "nested", b"a = " + b"[" * 200)

config = """epochs = 20
lr = 1e-1
optimizer = 'absgd'
lambda = -inf
loss = 'focal'
loss_options.gamma = 2
seed = 3
out = 'runs/a'
threads = 2
[data]
imbalance = "exp:0.01"
seed = 4
"""
put("config", "whole", config.encode())
put("config", "text", b'data.dir = "a\\"\\\\\\u0001\\n\\u00e9"\n')
put("config", "unknown", b"lamda = 5\n")
put("config", "type", b"lr = 'fast'\n")
put("config", "twice", b"lr = 1\nlr = 2\n")
put("config", "nested", b"data = " + b"{a=" * 200)
put("config", "dots", b"a." * 2000 + b"a = 1\n")
put("config", "cut", b"data.dir = '''")
put("config", "date", b"epochs = 2020-01-01\n")
put("config", "large", b"epochs = 2147483647\nseed = 9223372036854775807\nlr = 1e308\n")
put("config", "epochs", b"epochs = 2147483647\noptimizer = 'absgd'\n")
