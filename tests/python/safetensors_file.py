"""safetensors in numpy, for machines without python3-safetensors: a dictionary of arrays, float32 or int64, to a file and back."""
import json

import numpy

DTYPES = {"F32": "<f4", "I64": "<i8"}


def save(path, arrays):
    header, offset, values = {}, 0, b""
    for name, array in arrays.items():
        kind = "I64" if array.dtype.kind == "i" else "F32"
        data = numpy.ascontiguousarray(array, DTYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        values += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + values)


def load(path):
    with open(path, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    header, values = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: numpy.frombuffer(values[slice(*entry["data_offsets"])], DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
        for name, entry in header.items()
    }
