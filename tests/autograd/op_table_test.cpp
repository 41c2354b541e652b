#include "tests/op_table.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "autograd/check_gradients.h"
#include "autograd/diagnostics.h"
#include "autograd/jvp.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"
#include "tests/cuda/precision.h"

using namespace heft;
using namespace heft::test;

namespace {

Tensor values_of(const Operand& operand, std::uint64_t position, DType dtype) {
  if (!operand.values.empty()) return Tensor::from(operand.values, operand.shape).astype(dtype);
  return random_uniform(operand.shape, operand.low, operand.high, DType::f64, Device::cpu(), {11, position}).astype(dtype);
}

std::vector<Tensor> values_of(const Operands& operands, DType dtype) {
  std::vector<Tensor> values;
  for (const Operand& operand : operands) values.push_back(values_of(operand, values.size(), dtype));
  return values;
}

std::string describe(const OpCase& row, const Operands& operands) {
  std::string text = row.name + "(";
  for (const Operand& operand : operands) text += (text.back() == '(' ? "" : ", ") + operand.shape.str();
  return text + ")";
}

// A convolution with one weight of 1 a channel: the same values in the layout that convolutions leave.
Variable through_conv(const Variable& x) {
  const std::int64_t c = x.size(1);
  const Tensor identity = one_hot(Tensor::arange(c), c, x.dtype()).reshape({c, c, 1, 1}).to(x.device());
  return conv2d(x, identity);
}

Tensor tangent_of(const Variable& leaf, std::uint64_t position) {
  return random_normal(leaf.shape(), 0, 1, leaf.dtype(), leaf.device(), {19, position});
}

std::vector<std::pair<Variable, Tensor>> tangents_of(const Variables& leaves) {
  std::vector<std::pair<Variable, Tensor>> tangents;
  for (const Variable& leaf : leaves) tangents.emplace_back(leaf, tangent_of(leaf, tangents.size()));
  return tangents;
}

struct How {
  bool images_from_conv = false, bf16_inputs = false;
};

// Results, derivatives along a direction and gradients, all on the CPU; direction and seed are random and fixed.
std::vector<Tensor> run(const OpCase& row, const Operands& operands, Device device, const How& how = {}) {
  Variables leaves, inputs;
  for (const Tensor& value : values_of(operands, DType::f32)) {
    leaves.emplace_back((how.bf16_inputs ? in_bf16(value) : value).to(device), true);
    inputs.push_back(how.images_from_conv && value.rank() == 4 ? through_conv(leaves.back()) : leaves.back());
  }
  const Variable y = row.op(inputs);
  std::vector<Tensor> results = {y.value().contiguous().to(Device::cpu())};
  if (!row.differentiable) return results;
  results.push_back(jvp(y, tangents_of(leaves)).contiguous().to(Device::cpu()));
  backward(y, random_normal(y.shape(), 0, 1, DType::f32, device, {13, 1}));
  for (const Variable& leaf : leaves) results.push_back(leaf.grad().contiguous().to(Device::cpu()));
  return results;
}

// `as_a_whole`: of ||want||, how much ||got - want|| may be.
void compare_results(const OpCase& row, const std::vector<Tensor>& got, const std::vector<Tensor>& want,
                     double as_a_whole = 1) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO((i == 0   ? std::string("the result")
          : i == 1 ? std::string("the derivative along a direction")
                   : "the gradient of input " + std::to_string(i - 2)));
    CHECK(got[i].dtype() == want[i].dtype());
    check_close(got[i], want[i], row.tolerance);
    if (as_a_whole < 1) CHECK(relative_error(got[i], want[i]) < as_a_whole);
  }
}

bool has_images(const Operands& operands) {
  for (const Operand& operand : operands)
    if (operand.shape.rank() == 4) return true;
  return false;
}

// The functions that return a Variable or a Tensor in a header, operators aside.
std::set<std::string> functions_in(const std::filesystem::path& header) {
  std::ifstream file(header);
  REQUIRE(file);
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);)
    for (const std::string start : {"Variable ", "Tensor ", "inline Variable ", "inline Tensor "})
      if (const std::size_t open = line.find('('); line.rfind(start, 0) == 0 && open != std::string::npos)
        if (const std::string name = line.substr(start.size(), open - start.size()); name.rfind("operator", 0) != 0)
          names.insert(name);
  return names;
}

template <class... Fs>
std::set<std::string> names_of(fn::List<Fs...>) {
  return {Fs::name...};
}

}  // namespace

TEST_CASE("The CPU backend and the reference agree on every operation", "[ops]") {
  for (const OpCase& row : op_table())
    for (const Operands& operands : row.inputs) {
      INFO(describe(row, operands));
      const std::vector<Tensor> got = run(row, operands, Device::cpu());
      const BackendScope scope(reference_backend());
      compare_results(row, got, run(row, operands, Device::cpu()));
    }
}

TEST_CASE("Every operation takes images in the layout that a convolution leaves", "[ops]") {
  int cases = 0;
  for (const OpCase& row : op_table())
    for (const Operands& operands : row.inputs) {
      if (!has_images(operands)) continue;
      INFO(describe(row, operands));
      const std::vector<Tensor> got = run(row, operands, Device::cpu(), {.images_from_conv = true});
      const BackendScope scope(reference_backend());
      compare_results(row, got, run(row, operands, Device::cpu()));
      ++cases;
    }
  CHECK(cases > 100);
}

TEST_CASE("Every gradient agrees with finite differences in double", "[ops]") {
  std::int64_t checked = 0, kinks = 0;
  for (const OpCase& row : op_table()) {
    if (!row.differentiable) continue;
    for (const Operands& operands : row.inputs) {
      INFO(describe(row, operands));
      const GradientCheckReport report =
          check_gradients(row.op, values_of(operands, DType::f64), {.max_entries = 40, .directions = 3});
      INFO(report.message);
      CHECK(report.ok);
      CHECK(report.skipped == 0);
      checked += report.checked, kinks += report.kinks;
    }
  }
  std::cout << "finite differences: " << checked << " compared, " << kinks << " of them moved off a kink" << std::endl;
  CHECK(kinks >= 2);  // relu's row has two points on its kink
}

TEST_CASE("Every derivative along a direction agrees with finite differences in double", "[ops][jvp]") {
  constexpr double h = 1e-6, atol = 1e-5, rtol = 1e-3;
  std::size_t compared = 0, kinks = 0;
  for (const OpCase& row : op_table()) {
    if (!row.differentiable) continue;
    for (const Operands& operands : row.inputs) {
      INFO(describe(row, operands));
      Variables leaves;
      for (const Tensor& value : values_of(operands, DType::f64)) leaves.emplace_back(value, true);
      const auto at = [&](double t) {
        Variables moved;
        for (const Variable& leaf : leaves) moved.emplace_back(leaf.value() + tangent_of(leaf, moved.size()) * t);
        return row.op(moved).value().to_vector<double>();
      };
      const std::vector<double> got = jvp(row.op(leaves), tangents_of(leaves)).to_vector<double>();
      const std::vector<double> above = at(h), here = at(0), below = at(-h);
      for (std::size_t i = 0; i < got.size(); ++i) {
        const double want = (above[i] - below[i]) / (2 * h), tolerance = atol + rtol * std::abs(want);
        if (std::abs(above[i] - 2 * here[i] + below[i]) / h > tolerance) {
          ++kinks;
          continue;
        }
        INFO("element " << i << ": got " << got[i] << ", finite difference " << want);
        CHECK(std::abs(got[i] - want) <= tolerance);
        ++compared;
      }
    }
  }
  std::cout << "derivatives along directions: " << compared << " compared, " << kinks << " on a kink" << std::endl;
  CHECK(compared > 10'000);
  CHECK(kinks <= 3);  // relu's row has them
}

TEST_CASE("Derivatives along directions are the adjoints of gradients", "[ops][jvp]") {
  for (const OpCase& row : op_table()) {
    if (!row.differentiable) continue;
    for (const Operands& operands : row.inputs) {
      INFO(describe(row, operands));
      Variables leaves;
      for (const Tensor& value : values_of(operands, DType::f64)) leaves.emplace_back(value, true);
      const Variable y = row.op(leaves);
      const Tensor w = normal(y.shape(), 17);
      const double forward = inner_product(jvp(y, tangents_of(leaves)), w);
      backward(y, w);  // the graph is still whole
      double reverse = 0;
      for (std::size_t i = 0; i < leaves.size(); ++i) reverse += inner_product(tangent_of(leaves[i], i), leaves[i].grad());
      CHECK(forward == Approx(reverse).epsilon(1e-9).margin(1e-9));
    }
  }
}

TEST_CASE("The CPU and a GPU agree on every operation", "[ops][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("CPU against CUDA: " + cuda::why_unavailable());
  const ExactProducts exact;
  const BackendScope scope(reference_backend());
  for (const OpCase& row : op_table())
    for (const Operands& operands : row.inputs) {
      INFO(describe(row, operands));
      const auto compare = [&] {  // a row that fails hides no other
        const std::vector<Tensor> want = run(row, operands, Device::cpu());
        compare_results(row, run(row, operands, Device::cuda()), want);
        if (has_images(operands)) compare_results(row, run(row, operands, Device::cuda(), {.images_from_conv = true}), want);
      };
      CHECK_NOTHROW(compare());
    }
}

TEST_CASE("On a GPU products in TF32 are within its rounding of the CPU's", "[ops][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("TF32: " + cuda::why_unavailable());
  const BackendScope scope(reference_backend());
  for (OpCase row : op_table()) {
    if (row.name != "conv2d" && row.name != "matmul" && row.name != "linear") continue;
    // 2^-11 for either factor of each product; sums of up to 144 products of numbers up to 2.
    row.tolerance = 2e-2;
    for (const Operands& operands : row.inputs) {
      INFO(describe(row, operands));
      compare_results(row, run(row, operands, Device::cuda()), run(row, operands, Device::cpu()));
    }
  }
}

// Numbers that bf16 has go in, so that no maximum is another one; what is left are 2^-9 of what comes out and of the seeds. A
// single derivative may be that from the other side of a kink where a sum is 0 but for the order of adding.
TEST_CASE("On a GPU every operation in mixed precision is within bf16's rounding of the CPU's", "[ops][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("bf16: " + cuda::why_unavailable());
  const ProductsIn precision(cuda::Precision::bf16);
  const BackendScope scope(reference_backend());
  for (OpCase row : op_table()) {
    row.tolerance = std::max(row.tolerance, 0.1);
    for (const Operands& operands : row.inputs) {
      INFO(describe(row, operands));
      const auto compare = [&] {
        const std::vector<Tensor> want = run(row, operands, Device::cpu(), {.bf16_inputs = true});
        for (const bool from_conv : {false, true})
          if (!from_conv || has_images(operands))
            compare_results(row, run(row, operands, Device::cuda(), {from_conv, true}), want, 1e-2);
      };
      CHECK_NOTHROW(compare());
    }
  }
}

TEST_CASE("Gradients computed on a GPU agree with finite differences in double", "[ops][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("gradients on a GPU: " + cuda::why_unavailable());
  for (const OpCase& row : op_table()) {
    if (!row.differentiable) continue;
    const Operands& operands = row.inputs.front();
    INFO(describe(row, operands));
    std::vector<Tensor> values;
    for (const Tensor& value : values_of(operands, DType::f64)) values.push_back(value.to(Device::cuda()));
    const auto check = [&] {
      const GradientCheckReport report = check_gradients(row.op, values, {.max_entries = 10, .directions = 2});
      INFO(report.message);
      CHECK(report.ok);
    };
    CHECK_NOTHROW(check());
  }
}

TEST_CASE("Every public operation has a row", "[ops]") {
  std::set<std::string> rows;
  for (const OpCase& row : op_table()) rows.insert(row.name);
  std::set<std::string> functions;
  for (const char* header : {"losses.h", "losses_imbalance.h", "losses_noise.h"})
    functions.merge(functions_in(std::filesystem::path(HEFT_SOURCE_DIR) / "layers" / header));
  int headers = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(HEFT_SOURCE_DIR) / "autograd"))
    if (entry.path().extension() == ".h") functions.merge(functions_in(entry.path())), ++headers;
  CHECK(headers >= 9);
  REQUIRE(functions.erase("record") == 1);  // how operations are made, not one of them
  REQUIRE(functions.erase("jvp") == 1);     // a question about them
  CHECK(functions.size() >= 55);
  for (const std::string& name : functions) {
    INFO(name << " is public and has no row in tests/op_table.h");
    CHECK(rows.count(name) == 1);
  }
}

TEST_CASE("Every functor is reached from a row", "[ops]") {
  std::set<std::string> reached;
  Profile profile;
  for (const OpCase& row : op_table()) {
    reached.insert(row.name);
    row.op([&] {
      Variables inputs;
      for (const Tensor& value : values_of(row.inputs.front(), DType::f32)) inputs.emplace_back(value);
      return inputs;
    }());
  }
  for (const OpProfile& op : profile.table()) reached.insert(op.op);
  std::set<std::string> functors = names_of(fn::Unary{});
  functors.merge(names_of(fn::Binary{}));
  functors.merge(names_of(fn::Compare{}));
  for (const std::string& name : functors) {
    INFO(name << " is in core/functors.h, and no row of tests/op_table.h reaches it");
    CHECK(reached.count(name) == 1);
  }
}
