// Hopper's matrix products, bulk copies and barriers, as the instructions have them: for code compiled for sm_90a alone.
// Internal to cuda/.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cuda/mma.cuh"

namespace heft::cuda {

// A barrier in shared memory, 8 bytes at `barrier`: a phase ends with `count` arrivals and as many bytes as were expected.
__device__ inline void init_barrier(std::uint32_t barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
// After init_barrier, before the block's barrier: other threads and bulk copies see what was set up.
__device__ inline void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
// Arrives, and has the phase wait for `bytes` of bulk copies.
__device__ inline void arrive_expecting(std::uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ inline void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Until the phase of that parity has ended; of the phases before the first, parity 1 counts as ended.
__device__ inline void await(std::uint32_t barrier, int parity) {
  asm volatile(
      "{.reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; @done bra over; "
      "bra again; over:}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// Stage `at` of a ring and how often it went round.
struct RingPlace {
  int at = 0, parity = 0;
  __device__ void advance(int stages) {
    if (++at == stages) at = 0, parity ^= 1;
  }
};

// A box of the tensor that `map` describes, its first element at the coordinates, to shared memory; `barrier` counts the bytes.
__device__ inline void copy_box(std::uint32_t to, const CUtensorMap& map, std::uint32_t barrier, int c0, int c1, int c2,
                                int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(
          to),
      "l"(&map), "r"(barrier), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
__device__ inline void copy_box(std::uint32_t to, const CUtensorMap& map, std::uint32_t barrier, int c0, int c1, int c2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
}
// An operand of wgmma in shared memory, the reduction running along rows of 128 bytes in the 128-byte swizzle (which goes by
// the bits of addresses, so that any row may be the first). Address and distance, from 8 rows to the next 8, in 16 bytes.
__device__ inline std::uint64_t wgmma_operand(std::uint32_t address, std::uint32_t distance) {
  return static_cast<std::uint64_t>(1u << 30 | distance) << 32 | (1u << 16 | address);
}

// What this thread has stored to shared memory is there for wgmma, once a barrier says so to the threads that issue it.
__device__ inline void publish_operands() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// The registers of each thread of the warpgroup from here on: fewer than at launch, or more, once others gave some back.
template <int kRegisters>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most `kPending` committed groups are under way.
template <int kPending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// After the last wait, before the sums are read: keeps the compiler from reading them earlier.
template <int kProducts, int kSums>
__device__ inline void settle(float (&sums)[kProducts][kSums]) {
#pragma unroll
  for (int product = 0; product < kProducts; ++product)
#pragma unroll
    for (int k = 0; k < kSums; ++k) asm volatile("" : "+f"(sums[product][k])::"memory");
}

#define HEFT_SUMS_4(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define HEFT_SUMS_16(i) HEFT_SUMS_4(i), HEFT_SUMS_4((i) + 4), HEFT_SUMS_4((i) + 8), HEFT_SUMS_4((i) + 12)

// The names of n registers from %0 on.
#define HEFT_NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define HEFT_NAMES_32 HEFT_NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define HEFT_NAMES_64                                                                \
  HEFT_NAMES_32                                                                      \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// d += a b of a warpgroup: a 64 x 8, b 8 x 32, 8 x 64 or 8 x 128; in bf16, pairs for floats, a 64 x 16 and b 16 x as many.
// With g = lane / 4, t = lane % 4 and 16 rows to a warp, four from d[4 j] on = {(g, 8j + 2t), (g, 8j + 2t + 1), (g + 8, 8j +
// 2t), (g + 8, 8j + 2t + 1)}; a in registers as in mma_tf32.
#define HEFT_WGMMA(columns, names, a_name, b_name, ...)                                                                       \
  if constexpr (std::is_same_v<T, bf16>)                                                                                      \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" names "}, " a_name ", " b_name             \
                 ", 1, 1, 1, 0, 0;"                                                                                           \
                 : __VA_ARGS__                                                                                                \
                 : "l"(a), "l"(b));                                                                                           \
  else                                                                                                                        \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k8.f32.tf32.tf32 {" names "}, " a_name ", " b_name ", 1, 1, 1;" \
                 : __VA_ARGS__                                                                                                \
                 : "l"(a), "l"(b))
template <class T>
__device__ inline void wgmma(float (&d)[16], std::uint64_t a, std::uint64_t b) {
  HEFT_WGMMA("32", HEFT_NAMES_16, "%16", "%17", HEFT_SUMS_16(0));
}
template <class T>
__device__ inline void wgmma(float (&d)[32], std::uint64_t a, std::uint64_t b) {
  HEFT_WGMMA("64", HEFT_NAMES_32, "%32", "%33", HEFT_SUMS_16(0), HEFT_SUMS_16(16));
}
template <class T>
__device__ inline void wgmma(float (&d)[64], std::uint64_t a, std::uint64_t b) {
  HEFT_WGMMA("128", HEFT_NAMES_64, "%64", "%65", HEFT_SUMS_16(0), HEFT_SUMS_16(16), HEFT_SUMS_16(32), HEFT_SUMS_16(48));
}
// bf16 with the reduction down rows of 64 channels, a 16 x 64 and b 16 x 64: of the descriptors the distance is that from 8
// rows to the next 8.
__device__ inline void wgmma_down(float (&d)[32], std::uint64_t a, std::uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" HEFT_NAMES_32 "}, %32, %33, 1, 1, 1, 1, 1;"
               : HEFT_SUMS_16(0), HEFT_SUMS_16(16)
               : "l"(a), "l"(b));
}
#undef HEFT_WGMMA
#undef HEFT_NAMES_64
#undef HEFT_NAMES_32
#undef HEFT_NAMES_16
__device__ inline void wgmma(float (&d)[32], const float (&a)[4], std::uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
      "}, {%32, %33, %34, %35}, %36, 1, 1, 1;"
      : HEFT_SUMS_16(0), HEFT_SUMS_16(16)
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])), "l"(b));
}

#undef HEFT_SUMS_16
#undef HEFT_SUMS_4

}  // namespace heft::cuda
