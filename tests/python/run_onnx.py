"""run_onnx.py MODEL.onnx IMAGES.npy OUTPUT.npy: the checker of python3-onnx, then the output by OpenCV's cv2.dnn or onnxruntime."""
import importlib.util
import sys

import numpy
import onnx

model_path, images_path, output_path = sys.argv[1:]
model = onnx.load(model_path)
onnx.checker.check_model(model, full_check=True)
images = numpy.load(images_path)
(image_input,) = model.graph.input
first = image_input.type.tensor_type.shape.dim[0]
assert first.dim_param and not first.dim_value, "expected a free batch dimension"
if importlib.util.find_spec("onnxruntime"):
    import onnxruntime

    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    output = session.run(None, {image_input.name: images})[0]
else:
    import cv2

    net = cv2.dnn.readNetFromONNX(model_path)
    net.setInput(images)
    output = net.forward()
numpy.save(output_path, output.astype("<f4"))
