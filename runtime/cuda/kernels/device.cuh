// What kernels use of CUDA: every PTX instruction stands here (Hopper's own in hopper.cuh), with a twin for the CPU in
// emulated.h. Kernels contain no other inline assembly, so that one source runs on both. Denormals count as zero, here
// as on the CPU: kernels are compiled with -ftz=true. RL_CUDA makes the CPU's headers of elementary functions
// (kernels/vec/) one-lane code for a GPU's thread.
#pragma once
#define RL_CUDA

#ifdef RUSHLIGHT_EMULATED
#include "emulated.h"
#else

using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;
using uintptr_t = unsigned long long;

#define INT32_MIN (-2147483647 - 1)
#define INT32_MAX 2147483647
#define __builtin_inff() __builtin_bit_cast(float, 0x7F800000)
#define __builtin_nanf(tag) __builtin_bit_cast(float, 0x7FFFFFFF)
#define __builtin_memcpy memcpy
#define __builtin_sqrtf __fsqrt_rn
#define __builtin_floor floor
#define __builtin_ceil ceil
#define __builtin_fabs fabs
#define __is_same(...) is_same_type<__VA_ARGS__>
#define DEVICE __device__ __forceinline__
#define SHARED_MEMORY(name) extern __shared__ __align__(1024) unsigned char name[]
#define KERNEL(name, threads, blocks, Params) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Params p)

template <class A, class B>
inline constexpr bool is_same_type = false;
template <class A>
inline constexpr bool is_same_type<A, A> = true;

DEVICE uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

DEVICE void sync_threads() { __syncthreads(); }

// Among the 32 lanes of a warp.
DEVICE void sync_warp() { __syncwarp(); }

// Barrier 1 to 15 among `threads` threads of whole warps.
DEVICE void sync_named(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// Copies 4, 8 or 16 bytes, all aligned to their number, from global to shared memory.
template <int Bytes>
DEVICE void copy_async(void* dst, const void* src) {
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(dst)), "l"(src) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(dst)), "l"(src), "n"(Bytes)
                 : "memory");
  }
}

// The same, but zeros where `valid` is false; nothing is read then, though `src` is an aligned address.
template <int Bytes>
DEVICE void copy_async_or_zero(void* dst, const void* src, bool valid) {
  const int size = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(dst)), "l"(src), "r"(size)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(dst)), "l"(src), "n"(Bytes),
                 "r"(size)
                 : "memory");
  }
}

DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the `Pending` latest groups of this thread are under way.
template <int Pending>
DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

// Four 8x16-byte matrices; lanes 8i to 8i + 7 give the row addresses of matrix i.
DEVICE void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same of b16 elements, transposed: lane l holds elements (2 (l % 4), l / 4) and (2 (l % 4) + 1, l / 4).
DEVICE void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// d[16x8] += a[16x32] b[8x32]^T. With g = lane / 4 and t = lane % 4, d holds (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8,
// 2t + 1); a the bytes 4t to 4t + 3 of row g, of row g + 8, then bytes 16 + 4t to 16 + 4t + 3 of both; b those of row
// g.
#define RL_MULTIPLY_BYTES(name, left, right)                                      \
  DEVICE void name(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { \
    asm("mma.sync.aligned.m16n8k32.row.col.s32." left "." right                   \
        ".s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"    \
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                          \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));      \
  }
RL_MULTIPLY_BYTES(multiply_u8s8, "u8", "s8")
RL_MULTIPLY_BYTES(multiply_u8u8, "u8", "u8")
RL_MULTIPLY_BYTES(multiply_s8u8, "s8", "u8")
#undef RL_MULTIPLY_BYTES

// d[16x8] += a[16x8] b[8x8]^T of TF32, as multiply_u8s8 with 32-bit elements in place of four bytes.
DEVICE void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The bits of a float, rounded to TF32's 10 bits of fraction, halves away from zero.
DEVICE uint32_t round_to_tf32(uint32_t x) {
  asm("cvt.rna.tf32.f32 %0, %0;" : "+r"(x));
  return x;
}

// How many arrivals at this counter in global memory there were before. What threads of a block wrote before a barrier
// of the block and this, another block reads after its own arrival and a barrier.
DEVICE uint32_t count_arrival(uint32_t* counter) {
  uint32_t before;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
  return before;
}

// sum + the products of four 16-bit numbers, two a word, and the four bytes of `bytes`, all with signs.
DEVICE int multiply_words(uint32_t first, uint32_t second, uint32_t bytes, int sum) {
  sum = __dp2a_lo(static_cast<int>(first), static_cast<int>(bytes), sum);
  return __dp2a_hi(static_cast<int>(second), static_cast<int>(bytes), sum);
}

DEVICE float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEVICE int round_to_int(float x) { return __float2int_rn(x); }
DEVICE float maximum(float a, float b) { return fmaxf(a, b); }
DEVICE float minimum(float a, float b) { return fminf(a, b); }

DEVICE float square_root(float x) { return __fsqrt_rn(x); }
DEVICE float round_to_even(float x) { return rintf(x); }
DEVICE float round_down(float x) { return floorf(x); }
DEVICE float round_up(float x) { return ceilf(x); }
DEVICE float round_to_zero(float x) { return truncf(x); }
DEVICE int32_t float_bits(float x) { return __float_as_int(x); }
DEVICE float float_from_bits(int32_t x) { return __int_as_float(x); }

// The float that these bits of an IEEE half are, exactly.
DEVICE float half_to_float(uint16_t bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}

// Byte i of the result is byte number (selector >> 4 * i & 7) of the eight bytes of a and then b.
DEVICE uint32_t select_bytes(uint32_t a, uint32_t b, uint32_t selector) { return __byte_perm(a, b, selector); }

// x, but zero of its sign where it is denormal: an addition that a compiler may not leave out.
DEVICE float flush(float x) {
  asm("add.ftz.f32 %0, %0, 0f80000000;" : "+f"(x));
  return x;
}

// The value of another lane of the warp, lane % 32; all 32 lanes take part.
DEVICE uint32_t shuffle(uint32_t value, int lane) { return __shfl_sync(0xFFFFFFFFu, value, lane); }
DEVICE float shuffle(float value, int lane) { return __shfl_sync(0xFFFFFFFFu, value, lane); }

// Keeps the compiler from moving loads of later code here, where their values would only take registers.
DEVICE void hold_loads() { asm volatile("" ::: "memory"); }

// Makes the compiler take `value` for a new one, so that what follows from it is not computed ahead and kept in
// registers.
DEVICE int renew(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

#endif

// The most that a thread reads or writes at once.
struct alignas(16) Vector16 {
  uint32_t word[4];
};
