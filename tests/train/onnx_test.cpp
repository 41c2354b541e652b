#include "train/onnx.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/linalg.h"
#include "autograd/norm.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/ops.h"
#include "core/random.h"
#include "data/npy.h"
#include "layers/activation.h"
#include "layers/conv.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/sequential.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "tests/train/onnx_reader.h"
#include "tests/train/python.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::OnnxModel;
using heft::test::TemporaryDirectory;
using heft::train::ModelInfo;
using heft::train::OnnxOptions;

namespace {

using Types = std::vector<std::string>;

// Running statistics and scales away from where they start.
void shake(Module& net) {
  const auto values = [](const Tensor& like, double low, double high) { return random_uniform(like.shape(), low, high); };
  for (const auto& [name, buffer] : net.named_buffers())
    if (is_floating(buffer->dtype())) *buffer = name.ends_with("var") ? values(*buffer, 0.5, 2) : values(*buffer, -0.5, 0.5);
  for (Variable& parameter : net.parameters())
    if (parameter.rank() == 1) parameter.set_value(values(parameter.value(), 0.2, 1.2));
}

OnnxModel exported(Module& net, const ModelInfo& info, const OnnxOptions& options = {}) {
  const TemporaryDirectory folder;
  train::export_onnx(folder.file("net.onnx"), net, info, options);
  return test::read_onnx(test::read_text(folder.file("net.onnx")));
}

ModelInfo info_of(const std::string& model, std::int64_t channels, std::int64_t image_size) {
  return {.model = model, .options = {.classes = 10, .channels = channels, .image_size = image_size}};
}

ModulePtr function(Activation::Function f) { return std::make_shared<Activation>("f", std::move(f)); }

std::string refusal(Activation::Function f) {
  const TemporaryDirectory folder;
  const ModulePtr net = function(std::move(f));
  const std::string message = message_of<ValueError>([&] { train::export_onnx(folder.file("x"), *net, info_of("own", 1, 4)); });
  CHECK(test::files_in(folder) == 0);
  return message;
}

double largest(const Tensor& x) {
  double most = 0;
  for (const double value : x.to_vector<double>()) most = std::max(most, std::abs(value));
  return most;
}

// What another runtime makes of it, beside `expected`.
void check_elsewhere(const TemporaryDirectory& folder, Module& net, const ModelInfo& info, const OnnxOptions& options,
                     const Tensor& images, const Tensor& expected) {
  const std::string model = folder.file("net.onnx"), in = folder.file("in.npy"), out = folder.file("out.npy");
  train::export_onnx(model, net, info, options);
  data::write_npy(in, images);
  REQUIRE(test::python_failure(folder, "run_onnx.py", "'" + model + "' '" + in + "' '" + out + "'") == "");
  const Tensor got = data::read_npy(out);
  REQUIRE(got.shape() == expected.shape());
  CHECK(largest(got - expected) <= 1e-5 * std::max(1.0, largest(expected)));
}

// Every operation that has a form, as a function of images (N, 2, 4, 4) in (0.1, 1).
struct Case {
  const char* op;
  Activation::Function function;
};
const std::vector<Case>& cases() {
  using V = const Variable&;
  const auto some = [](const Shape& shape) { return random_uniform(shape, 0.2, 1, DType::f32, Device::cpu(), {.seed = 5}); };
  static const std::vector<Case> all{{"abs", [](V x) { return abs(x - 0.5); }},
                                     {"add",
                                      [some](V x) {
                                        return x + some({2, 1, 4});
                                      }},
                                     {"add_scalar", [](V x) { return x + 0.25; }},
                                     {"avg_pool2d",
                                      [](V x) {
                                        return avg_pool2d(x, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}});
                                      }},
                                     {"avg_pool2d", [](V x) { return global_avg_pool2d(x); }},
                                     {"batch_norm",
                                      [some](V x) {
                                        Tensor mean = some({2}), variance = some({2});
                                        return batch_norm(x, some({2}), some({2}), mean, variance, false);
                                      }},
                                     {"batch_norm",
                                      [some](V x) {
                                        Tensor mean = some({32}), variance = some({32});
                                        return batch_norm(flatten(x), some({32}), some({32}), mean, variance, false, 0.1, 1e-3);
                                      }},
                                     {"clamp", [](V x) { return clamp(x, 0.3, 0.6); }},
                                     {"clamp", [](V x) { return clamp(x, 0.3) + clamp(x); }},
                                     {"clamp", [](V x) { return clamp(x, -std::numeric_limits<double>::infinity(), 0.6); }},
                                     {"concat",
                                      [](V x) {
                                        return concat({x, x * 2}, -3);
                                      }},
                                     {"conv2d",
                                      [some](V x) {
                                        return conv2d(x, some({4, 1, 3, 2}), some({4}),
                                                      {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2});
                                      }},
                                     {"div",
                                      [some](V x) {
                                        return x / some({4, 4});
                                      }},
                                     {"exp", [](V x) { return exp(x); }},
                                     {"gelu", [](V x) { return gelu(x - 0.5); }},
                                     {"l2_normalize", [](V x) { return l2_normalize(x); }},
                                     {"l2_normalize", [](V x) { return l2_normalize(x, 0.5); }},
                                     {"layer_norm", [](V x) { return layer_norm(x); }},
                                     {"layer_norm", [some](V x) { return layer_norm(x, some({4}), some({4}), 1e-3); }},
                                     {"leaky_relu", [](V x) { return leaky_relu(x - 0.5, 0.2); }},
                                     {"linear",
                                      [some](V x) {
                                        return linear(flatten(x), some({3, 32}), some({3}));
                                      }},
                                     {"linear",
                                      [some](V x) {
                                        return linear(x, some({3, 4}), some({3})) + linear(x, some({3, 4}));
                                      }},
                                     {"linear", [](V x) { return linear(flatten(x), flatten(slice(x, 0, 0, 1)) * 2.0); }},
                                     {"log", [](V x) { return log(x); }},
                                     {"log_softmax", [](V x) { return log_softmax(x, 1); }},
                                     {"logsumexp",
                                      [](V x) {
                                        return logsumexp(x, {1, -1});
                                      }},
                                     {"matmul", [](V x) { return matmul(x, transpose(x)); }},
                                     {"max", [](V x) { return maximum(x, 1.0 - x); }},
                                     {"max",
                                      [](V x) {
                                        return max(x, {2, 3}, true);
                                      }},
                                     {"max_pool2d",
                                      [](V x) {
                                        return max_pool2d(x, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}});
                                      }},
                                     {"mean", [](V x) { return mean(x, {-1}, true); }},
                                     {"min", [](V x) { return minimum(x, 1.0 - x); }},
                                     {"min", [](V x) { return min(x, {1}); }},
                                     {"mul",
                                      [some](V x) {
                                        return x * some({2, 4, 4});
                                      }},
                                     {"mul_scalar", [](V x) { return x * 3.0; }},
                                     {"neg", [](V x) { return -x; }},
                                     {"pad",
                                      [](V x) {
                                        return pad(x, {0, 1, 0, 2}, {0, 0, 1, 3}, 0.5);
                                      }},
                                     {"permute",
                                      [](V x) {
                                        return permute(x, {0, 2, -1, 1});
                                      }},
                                     {"pow", [some](V x) { return pow(x, some({4})); }},
                                     {"pow_scalar", [](V x) { return pow(x, 1.5); }},
                                     {"relu", [](V x) { return relu(x - 0.5); }},
                                     {"reshape",
                                      [](V x) {
                                        return reshape(x, {-1, 4, 8});
                                      }},
                                     {"reshape", [](V x) { return flatten(x); }},
                                     {"sigmoid", [](V x) { return sigmoid(x); }},
                                     {"silu", [](V x) { return silu(x - 0.5); }},
                                     {"slice", [](V x) { return slice(slice(x, 2, 1, 4, 2), -1, -3, 100); }},
                                     {"softmax", [](V x) { return softmax(x, -1); }},
                                     {"softplus", [](V x) { return softplus(x - 0.5); }},
                                     {"sqrt", [](V x) { return sqrt(x); }},
                                     {"sub", [some](V x) { return x - some({4}); }},
                                     {"sum",
                                      [](V x) {
                                        return sum(x, {1, 3});
                                      }},
                                     {"sum", [](V x) { return x / sum(x); }},
                                     {"tanh", [](V x) { return tanh(x); }},
                                     {"transpose", [](V x) { return transpose(x, 1, -1); }}};
  return all;
}

}  // namespace

TEST_CASE("onnx: the parts of LeNet-5's file", "[train][onnx]") {
  manual_seed(2);
  const ModulePtr net = models::lenet5();
  ModelInfo info = info_of("lenet5", 1, 28);
  info.class_names.assign(10, "a, \"b\"");
  info.normalization = {.mean = {0.25}, .std = {0.5}};
  const OnnxModel model = exported(*net, info);
  CHECK(model.ir_version == 8);
  CHECK(model.opset == 17);
  CHECK(model.input == "images");
  CHECK(model.input_extents == Types{"N", "1", "28", "28"});
  CHECK(model.output == "logits");
  CHECK(model.output_extents == Types{"N", "10"});
  CHECK(model.types() == Types{"BatchNormalization", "Conv", "Relu", "MaxPool", "Conv", "Relu", "MaxPool", "Flatten", "Gemm",
                               "Relu", "Gemm", "Relu", "Gemm", "Identity"});
  CHECK(model.constants.at("normalize.mean").numbers() == std::vector<float>{0.25f});
  CHECK(model.constants.at("normalize.scale").numbers() == std::vector<float>{2});
  for (const auto& [name, parameter] : net->named_parameters()) {
    INFO(name);
    const test::OnnxTensor& constant = model.constants.at(name);
    CHECK(constant.type == 1);
    CHECK(constant.shape == std::vector<std::int64_t>(parameter.shape().begin(), parameter.shape().end()));
    CHECK(constant.numbers() == parameter.value().to_vector<float>());
  }
  const test::OnnxNode& conv = model.first("Conv");
  CHECK(conv.inputs == Types{"BatchNormalization", "conv1.weight", "conv1.bias"});
  CHECK(conv.integers.at("pads") == std::vector<std::int64_t>{2, 2, 2, 2});
  CHECK(conv.integers.at("kernel_shape") == std::vector<std::int64_t>{5, 5});
  CHECK(conv.integers.at("group") == std::vector<std::int64_t>{1});
  CHECK(model.first("Gemm").integers.at("transB") == std::vector<std::int64_t>{1});
  CHECK(model.metadata.at("model") == "lenet5");
  CHECK(contains(model.metadata.at("class_names"), R"(["a, \"b\"",)"));
  CHECK(model.metadata.at("normalize_mean") == "[0.25]");
  CHECK(model.metadata.at("input") == "[0, 1]");

  const OnnxModel raw = exported(*net, info, {.normalize = false, .probabilities = true});
  CHECK(raw.types().front() == "Conv");
  CHECK(raw.metadata.at("input") == "normalized");
  CHECK(raw.output == "probabilities");
  CHECK(raw.nodes[raw.nodes.size() - 2].type == "Softmax");
}

TEST_CASE("onnx: batch norms are nodes of their own, or fold into the convolutions before them", "[train][onnx]") {
  manual_seed(3);
  const ModulePtr net = sequential({layer<Conv2d>({.in_channels = 2, .out_channels = 3}), layer<BatchNorm2d>({.channels = 3}),
                                    layer<ReLU>(), layer<BatchNorm2d>({.channels = 3}), layer<Flatten>()});
  shake(*net);
  const ModelInfo info = info_of("own", 2, 5);
  const OnnxModel apart = exported(*net, info);
  CHECK(apart.types() == Types{"Conv", "BatchNormalization", "Relu", "BatchNormalization", "Flatten", "Identity"});
  CHECK(apart.first("BatchNormalization").floats.at("epsilon") == 1e-5f);
  CHECK(apart.constants.at("mean").numbers() == net->state().at("1.running_mean").to_vector<float>());

  const OnnxModel folded = exported(*net, info, {.fold_batch_norm = true});
  CHECK(folded.types() == Types{"Conv", "Relu", "BatchNormalization", "Flatten", "Identity"});
  const auto state = net->state();
  const std::vector<float> weight = folded.constants.at("0.weight").numbers(), bias = folded.constants.at("0.bias").numbers();
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto at = [&](const char* name) { return state.at(name).slice(0, c, c + 1).item<double>(); };
    const double scale = at("1.weight") / std::sqrt(at("1.running_var") + 1e-5);
    const auto channel = static_cast<std::size_t>(c);
    CHECK(bias[channel] == Approx((at("0.bias") - at("1.running_mean")) * scale + at("1.bias")));
    CHECK(weight[channel * 18 + 5] == Approx(state.at("0.weight").to_vector<double>()[channel * 18 + 5] * scale));
  }
  // A convolution that is read twice keeps its own result.
  const ModulePtr conv = layer<Conv2d>({.in_channels = 2, .out_channels = 2, .kernel = 1});
  const ModulePtr norm = layer<BatchNorm2d>({.channels = 2});
  const ModulePtr twice = function([=](const Variable& x) {
    const Variable y = (*conv)(x);
    return (*norm)(y) + y;
  });
  norm->eval();
  CHECK(exported(*twice, info, {.fold_batch_norm = true}).types() == Types{"Conv", "BatchNormalization", "Add", "Identity"});
}

TEST_CASE("onnx: what does not depend on the images is computed once, before", "[train][onnx]") {
  const ModulePtr net = sequential({layer<Flatten>(), layer<NormedLinear>({.in_features = 16, .out_features = 3})});
  const OnnxModel model = exported(*net, info_of("own", 1, 4));
  CHECK(model.types() == Types{"Flatten", "Mul", "MatMul", "Sqrt", "Sub", "Relu", "Add", "MatMul", "Div", "Gemm", "Identity"});
}

TEST_CASE("onnx: the network stays as it is", "[train][onnx]") {
  const ModulePtr net = models::make("resnet20", {.channels = 3, .image_size = 16});
  net->module("layer1").eval();
  const auto before = net->state();
  const RandomState random = random_state();
  exported(*net, info_of("resnet20", 3, 16), {.fold_batch_norm = true});
  CHECK(random_state().next == random.next);
  CHECK(net->training());
  CHECK_FALSE(net->module("layer1").training());
  for (const auto& [name, tensor] : net->state()) CHECK(tensor.to_vector<float>() == before.at(name).to_vector<float>());
}

TEST_CASE("onnx: f64 becomes f32", "[train][onnx]") {
  const ModulePtr net = sequential({layer<Flatten>(), layer<Linear>({.in_features = 16, .out_features = 3})});
  const std::vector<float> weight = net->parameters()[0].value().to_vector<float>();
  net->astype(DType::f64);
  CHECK(exported(*net, info_of("own", 1, 4)).constants.at("1.weight").numbers() == weight);
}

TEST_CASE("onnx: what cannot be written is named", "[train][onnx]") {
  const std::string unknown = refusal([](const Variable& x) { return expm1(x); });
  CHECK(contains(unknown, "the network has 'expm1'"));
  CHECK(contains(unknown, "conv2d"));
  CHECK(contains(refusal([](const Variable& x) { return x + x.value() * 2.0; }), "computed with Tensors?"));
  CHECK(contains(refusal([](const Variable& x) { return Variable(x.value()); }), "computed from the images"));
  CHECK(contains(refusal([](const Variable& x) { return slice(x, 0, 0, x.size(0) - 1); }), "slice with 2 images"));
  CHECK(contains(refusal([](const Variable& x) { return x.size(0) == 2 ? relu(x) : exp(relu(x)); }),
                 "1 with 2 images, 2 with 3"));
  CHECK(contains(refusal([](const Variable& x) {
                   const Tensor one = Tensor::ones({1});
                   Tensor mean = Tensor::zeros({1}), variance = Tensor::ones({1});
                   return batch_norm(x, one, one, mean, variance, true);
                 }),
                 "batch_norm in evaluation mode"));
  const TemporaryDirectory folder;
  CHECK_THROWS_AS(train::export_onnx(folder.file("none/x"), *models::lenet5(), info_of("lenet5", 1, 28)), DataError);
  ModelInfo info = info_of("lenet5", 1, 28);
  info.normalization = {.mean = {0, 0}, .std = {1, 1}};
  CHECK(contains(message_of<ValueError>([&] { train::export_onnx(folder.file("x"), *models::lenet5(), info); }),
                 "each of 1 channels, or none; got 2"));
}

TEST_CASE("onnx: every operation that has a form is in the table of this test", "[train][onnx]") {
  std::string known = refusal([](const Variable& x) { return expm1(x); });
  known = known.substr(known.find("here, ") + 6);
  known = known.substr(0, known.find(';')) + ", ";
  std::set<std::string> missing;
  for (std::size_t at = 0, end; (end = known.find(", ", at)) != std::string::npos; at = end + 2)
    missing.insert(known.substr(at, end - at));
  CHECK(missing.size() > 30);
  for (const Case& one : cases()) {
    INFO(one.op);
    missing.erase(one.op);
    const ModulePtr net = function(one.function);
    CHECK(exported(*net, info_of("own", 2, 4)).nodes.size() >= 2);
  }
  CHECK(missing.empty());
}

TEST_CASE("onnx: another runtime computes the models to 1e-5", "[train][onnx][python][slow]") {
  if (!test::python_has("onnx")) HEFT_SKIP("no python3-onnx");
  if (!test::python_has("cv2") && !test::python_has("onnxruntime")) HEFT_SKIP("neither python3-opencv nor onnxruntime");
  const TemporaryDirectory folder;
  manual_seed(7);
  struct Network {
    std::string name;
    std::int64_t side;
    bool normed = false;  // the classifier of LDAM
  };
  for (const auto& [name, side, normed] : {Network{"mlp", 32},
                                           {"lenet5", 32},
                                           {"vgg_small", 32},
                                           {"resnet20", 32},
                                           {"resnet18", 32},
                                           {"resnet18", 96},  // with the stem for small images, and with the other
                                           {"mlp", 32, true},
                                           {"lenet5", 32, true},
                                           {"resnet20", 32, true}}) {
    INFO(name << " at " << side << (normed ? ", normed" : ""));
    const std::int64_t channels = name == "lenet5" ? 1 : 3;
    ModelInfo info = info_of(name, channels, side);
    info.normalization = {.mean = {0.4}, .std = {0.3}};
    if (channels == 3) info.normalization = {.mean = {0.5, 0.4, 0.3}, .std = {0.2, 0.3, 0.25}};
    info.options.normed_classifier = normed;
    if (normed) info.logit_scale = 30;
    const ModulePtr net = models::make(name, info.options);
    shake(*net);
    // Another number than that of the channels: a runtime that confounds the two is found out.
    const Tensor images = random_uniform({5, channels, side, side}, 0, 1);
    Tensor normalized = images.clone();
    data::normalize_(normalized, info.normalization);
    const NoGrad no_grad;
    net->eval();
    const Tensor logits = (*net)(normalized).value();
    check_elsewhere(folder, *net, info, {.normalize = false}, normalized, logits);
    check_elsewhere(folder, *net, info, {.fold_batch_norm = true}, images, logits);
    check_elsewhere(folder, *net, info, {.fold_batch_norm = true, .probabilities = true}, images,
                    softmax(logits * info.logit_scale, 1));
  }
}

TEST_CASE("onnx: onnxruntime computes every operation to 1e-5", "[train][onnx][python][slow]") {
  if (!test::python_has("onnx")) HEFT_SKIP("no python3-onnx");
  if (!test::python_has("onnxruntime")) HEFT_SKIP("no onnxruntime");
  const TemporaryDirectory folder;
  const Tensor images = random_uniform({3, 2, 4, 4}, 0.1, 1, DType::f32, Device::cpu(), {.seed = 6});
  for (const Case& one : cases()) {
    INFO(one.op);
    const ModulePtr net = function(one.function);
    check_elsewhere(folder, *net, info_of("own", 2, 4), {}, images, (*net)(images).value());
  }
}
