// Tensor cores: mma, wgmma, and ldmatrix, which feeds the first. Products are summed in f32; the hardware keeps fewer bits.
#include <cstring>

#include "tests/ptx/memory.h"
#include "tests/ptx/operations.h"
#include "tests/ptx/options.h"

namespace ptx {
namespace {

constexpr u32 kMostColumns = 128, kMostDepth = 16;

struct Matrices {
  float a[16][kMostDepth], b[kMostDepth][kMostColumns], d[16][kMostColumns];
  void multiply(u32 depth, u32 columns) {
    for (u32 row = 0; row < 16; ++row) {
      std::fill_n(d[row], columns, 0.f);
      for (u32 k = 0; k < depth; ++k)
        for (u32 column = 0; column < columns; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
};

// The four registers of a lane with a's elements, 16 x 8 or in bf16 16 x 16: rows g and g + 8, then the other half of the
// depth.
template <class Value, class Element>
void take_a(Matrices& m, u32 in_register, const Value& value, const Element& element) {
  for (u32 lane = 0; lane < kLanes; ++lane)
    for (u32 k = 0; k < 4; ++k)
      for (u32 part = 0; part < in_register; ++part)
        m.a[lane / 4 + k % 2 * 8][(k / 2 * 4 + lane % 4) * in_register + part] = element(value(k, lane), part);
}

float tf32_part(u64 value, u32) { return from_tf32(value); }
float bf16_part(u64 value, u32 part) { return from_bf16(as<u16>(value >> (16 * part))); }

template <u32 kInRegister>
void multiply_warp(Warp& warp, const Instruction& i, u32) {  // d = a b + c
  static Matrices m;
  const auto element = kInRegister == 2 ? bf16_part : tf32_part;
  take_a(
      m, kInRegister, [&](u32 k, u32 lane) { return warp.row(i.operands[4 + k])[lane]; }, element);
  for (u32 lane = 0; lane < kLanes; ++lane)
    for (u32 k = 0; k < 2; ++k)
      for (u32 part = 0; part < kInRegister; ++part)
        m.b[(k * 4 + lane % 4) * kInRegister + part][lane / 4] = element(warp.row(i.operands[8 + k])[lane], part);
  m.multiply(8 * kInRegister, 8);
  for (u32 lane = 0; lane < kLanes; ++lane)
    for (u32 k = 0; k < 4; ++k)
      warp.row(i.operands[k])[lane] =
          bits(m.d[lane / 4 + k / 2 * 8][lane % 4 * 2 + k % 2] + as<float>(warp.row(i.operands[10 + k])[lane]));
}

void load_matrices(Warp& warp, const Instruction& i, u32) {
  u32 rows[kLanes][4];
  for (u32 lane = 0; lane < kLanes; ++lane) {
    const u32 address = as<u32>(warp.row(i.operands[4])[lane] + static_cast<u64>(i.value));
    if (address % 16 != 0) fail("lane {}: ldmatrix from an address that is not aligned to 16 bytes", lane);
    std::memcpy(rows[lane], locate_shared(warp, lane, address, 16, Note::read), 16);
  }
  for (u32 k = 0; k < 4; ++k)
    for (u32 lane = 0; lane < kLanes; ++lane) warp.row(i.operands[k])[lane] = rows[8 * k + lane / 4][lane % 4];
}

// wgmma. Each warp of four has 16 rows, so that it can do its part alone.

// Where an element of an operand in shared memory lies: the reduction runs along rows, or down them.
u32 place(u64 descriptor, u32 line, u32 k, u32 element_bytes, bool down) {
  const u32 start = static_cast<u32>(descriptor & 0x3fff) << 4, eight_rows = static_cast<u32>(descriptor >> 32 & 0x3fff) << 4;
  const u32 row = down ? k : line, column = down ? line : k;
  return swizzled(start + row / 8 * eight_rows + row % 8 * 128 + column * element_bytes);
}

void multiply_warpgroup(Warp& warp, const Instruction& i, const std::vector<u64>& operands) {
  static Matrices m;
  const auto columns = static_cast<u32>(i.value);
  const bool half = i.other & kWgmmaBf16, down = i.other & kWgmmaDown;
  const u32 depth = half ? 16 : 8, element_bytes = half ? 2 : 4;
  const auto element = [&](u64 descriptor, u32 line, u32 k) {
    if (descriptor >> 62 != 1) fail("wgmma: an operand that is not in the 128-byte swizzle is not known here");
    const u8* at = locate_shared(warp, kWholeWarp, place(descriptor, line, k, element_bytes, down), element_bytes, Note::read);
    u32 v = 0;
    std::memcpy(&v, at, element_bytes);
    return half ? from_bf16(v) : from_tf32(v);
  };
  if (i.other & kWgmmaFromRegisters) {
    take_a(
        m, 1, [&](u32 k, u32 lane) { return operands[k * kLanes + lane]; }, tf32_part);
  } else {
    for (u32 row = 0; row < 16; ++row)
      for (u32 k = 0; k < depth; ++k) m.a[row][k] = element(operands[0], warp.number % 4 * 16 + row, k);
  }
  const u64 b = operands[operands.size() - kLanes];
  for (u32 k = 0; k < depth; ++k)
    for (u32 column = 0; column < columns; ++column) m.b[k][column] = element(b, column, k);
  m.multiply(depth, columns);
  for (u32 lane = 0; lane < kLanes; ++lane)
    for (u32 k = 0; k < columns / 2; ++k) {
      u64& d = warp.row(i.operands[k])[lane];
      d = bits(as<float>(d) + m.d[lane / 4 + k / 2 % 2 * 8][k / 4 * 8 + lane % 4 * 2 + k % 2]);
    }
}

void start_product(Warp& warp, const Instruction& i, u32) {
  PendingProduct product{&i, {}};
  for (auto k = static_cast<std::size_t>(i.value / 2); k < i.operands.size(); ++k) {
    const u64* row = warp.row(i.operands[k]);
    product.operands.insert(product.operands.end(), row, row + kLanes);
  }
  if (options().late) warp.products.open.push_back(std::move(product));
  else multiply_warpgroup(warp, i, product.operands);
}
void commit_products(Warp& warp, const Instruction&, u32) { warp.products.commit(); }
void wait_for_products(Warp& warp, const Instruction& i, u32) {
  warp.products.wait(static_cast<std::size_t>(i.value),
                     [&](const PendingProduct& p) { multiply_warpgroup(warp, *p.instruction, p.operands); });
}

}  // namespace

Execute find_product(const Opcode& o, Instruction& i) {
  i.flow = Flow::collective;
  if (o.name() == "mma" && o.has("m16n8k8") && o.has("tf32")) return multiply_warp<1>;
  if (o.name() == "mma" && o.has("m16n8k16") && o.has("bf16")) return multiply_warp<2>;
  if (o.name() == "ldmatrix" && o.has("x4") && !o.has("trans")) return load_matrices;
  if (o.name() == "wgmma") {
    if (o.has("fence")) return nothing;
    if (o.has("commit_group")) return commit_products;
    if (o.has("wait_group")) return wait_for_products;
    for (const std::string& part : o.parts)  // m64n32k8
      if (part.starts_with("m64n")) i.value = std::stoi(part.substr(4));
    i.other = o.has("bf16") ? kWgmmaBf16 : 0;
    if (o.has("mma_async") && (o.has("bf16") || o.has("tf32")) && i.value > 0 && i.value <= kMostColumns) return start_product;
  }
  i.flow = Flow::next;
  return nullptr;
}

}  // namespace ptx
