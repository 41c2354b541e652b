// Tensor cores in TF32 and bf16 and asynchronous copies, as the instructions have them. Internal to cuda/.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/bf16.h"

namespace heft::cuda {

// To TF32's 11 significant bits: the nearest such number, or, in one case of 8000 (a mantissa within 2^-12 of 2), the other
// neighbour. Two multiply-adds, where cvt.rna.tf32 is three slower instructions: 8193 x has 13 bits fewer to spare for x, and
// 8192 x is exact. Of infinities, and from 4e34 on, nothing finite comes; NaN stays NaN.
__device__ inline float round_tf32(float x) { return fmaf(x, -8192.f, fmaf(x, 8192.f, x)); }
__device__ inline float4 round_tf32(float4 v) {
  return make_float4(round_tf32(v.x), round_tf32(v.y), round_tf32(v.z), round_tf32(v.w));
}

__device__ inline std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

// Copies 16 (or 4) bytes from global to shared memory; zeros where not `valid`, and `source` is not read then.
__device__ inline void copy_async_16(void* target, const void* source, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(target)), "l"(source), "r"(valid ? 16 : 0));
}
__device__ inline void copy_async_4(float* target, const float* source, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(target)), "l"(source), "r"(valid ? 4 : 0));
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;"); }
// Until at most `kPending` of this thread's committed groups are under way.
template <int kPending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four matrices of 8 rows of 4 floats; lane l gives the address of row l % 8 of matrix l / 8, and gets element l % 4 of row l /
// 4 of each.
__device__ inline void load_matrices(float (&v)[4], std::uint32_t address) {
  std::uint32_t r0, r1, r2, r3;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r0), "=r"(r1), "=r"(r2), "=r"(r3)
               : "r"(address));
  v[0] = __uint_as_float(r0), v[1] = __uint_as_float(r1), v[2] = __uint_as_float(r2), v[3] = __uint_as_float(r3);
}

// d += a b: a 16 x 8, b 8 x 8. With g = lane / 4, t = lane % 4: a = {(g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)},
// b = {(t, g), (t + 4, g)}, d = {(g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)}.
__device__ inline void mma_tf32(float (&d)[4], const float (&a)[4], float b0, float b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

// The same with pairs of bf16 where TF32 has one value, in 4 bytes: a 16 x 16, b 16 x 8.
__device__ inline void mma_bf16(float (&d)[4], const float (&a)[4], float b0, float b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

// By what operands are: floats, or pairs of bf16 in the place of a float each.
template <class T>
__device__ inline void mma(float (&d)[4], const float (&a)[4], float b0, float b1) {
  if constexpr (std::is_same_v<T, bf16>) mma_bf16(d, a, b0, b1);
  else mma_tf32(d, a, b0, b1);
}
// What a float is before it is multiplied; pairs of bf16 are that already.
template <class T>
__device__ inline float rounded(float v) {
  if constexpr (std::is_same_v<T, bf16>) return v;
  else return round_tf32(v);
}

// Two values rounded, side by side in 4 bytes.
__device__ inline float bf16_pair(float first, float second) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const float*>(&v);
}

// Four neighbouring values as they are kept.
__device__ inline void store_4(float* to, float4 v) { *reinterpret_cast<float4*>(to) = v; }
__device__ inline void store_4(bf16* to, float4 v) {
  *reinterpret_cast<float2*>(to) = make_float2(bf16_pair(v.x, v.y), bf16_pair(v.z, v.w));
}
__device__ inline float4 load_4(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ inline float4 load_4(const bf16* from) {
  const uint2 v = *reinterpret_cast<const uint2*>(from);
  return make_float4(__uint_as_float(v.x << 16), __uint_as_float(v.x & 0xffff0000u), __uint_as_float(v.y << 16),
                     __uint_as_float(v.y & 0xffff0000u));
}

}  // namespace heft::cuda
