// What kernels use of Hopper (sm_90a): tensor memory access, barriers on which it reports, asynchronous products of a
// warp group. Twins in hopper_emulated.h.
#pragma once
#include "device.cuh"

// Bytes or floats in global memory, described by the host (tensor_maps.py): a matrix for load_tile, images for
// load_pixels. Tiles come in rows of 128, 64 or 32 bytes, with the swizzle of that width, zeros outside of the matrix
// or image; floats rounded to TF32.
struct alignas(64) TensorMap {
  uint64_t opaque[16];
};

#ifdef RUSHLIGHT_EMULATED
#include "hopper_emulated.h"
#else

// A barrier in shared memory whose phase ends after `count` arrivals and all announced bytes.
DEVICE void init_barrier(uint64_t* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}

// Makes initialized barriers visible to tensor memory access; a block barrier must follow.
DEVICE void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}

DEVICE void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

DEVICE void arrive_expecting(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

// Waits for the end of the phase of this parity; a fresh barrier counts as having ended a phase of parity 1.
DEVICE void wait_barrier(uint64_t* barrier, int parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// Starts the copy of the tile at element `column` of row `row`; `barrier` hears of its bytes.
DEVICE void load_tile(void* dst, const TensorMap* map, int column, int row, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(dst)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

// Starts the copy of channels of the map's number of pixels. Pixel by pixel, (left, top) of `image` goes through the
// window's places, in steps of the map: along a row of them, then to the next row, then to the next image. What is
// copied lies (offset_w, offset_h) further on.
DEVICE void load_pixels(void* dst, const TensorMap* map, int channel, int left, int top, int image, int offset_w,
                        int offset_h, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%2, %3, %4, %5}], [%6], {%7, %8};" ::"r"(shared_address(dst)),
      "l"(map), "r"(channel), "r"(left), "r"(top), "r"(image), "r"(shared_address(barrier)),
      "h"(static_cast<uint16_t>(offset_w)), "h"(static_cast<uint16_t>(offset_h))
      : "memory");
}

template <int Registers>
DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

template <int Registers>
DEVICE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int Pending>
DEVICE void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

// Keeps the compiler from reading sums before the wait that precedes this call.
template <int Fragments>
DEVICE void settle_products(int (&d)[Fragments][4]) {
#pragma unroll
  for (int i = 0; i < Fragments; ++i) {
    asm volatile("" : "+r"(d[i][0]), "+r"(d[i][1]), "+r"(d[i][2]), "+r"(d[i][3])::"memory");
  }
}

template <int Fragments>
DEVICE void settle_products(float (&d)[Fragments][4]) {
#pragma unroll
  for (int i = 0; i < Fragments; ++i) {
    asm volatile("" : "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])::"memory");
  }
}

// A tile's rows of `Width` bytes with the swizzle of that width, atoms of eight rows one after another; see "matrix
// descriptor" of the PTX ISA.
template <int Width>
DEVICE uint64_t describe_tile(const void* tile) {
  constexpr uint64_t kAtomBytes = 8 * Width, kSwizzle = Width == 128 ? 1 : Width == 64 ? 2 : 3;
  return (shared_address(tile) & 0x3FFFF) >> 4 | uint64_t{1} << 16 | kAtomBytes >> 4 << 32 | kSwizzle << 62;
}

#define RL_D4(kind, i) kind(d[i][0]), kind(d[i][1]), kind(d[i][2]), kind(d[i][3])
#define RL_D16(kind, i) RL_D4(kind, i), RL_D4(kind, i + 1), RL_D4(kind, i + 2), RL_D4(kind, i + 3)
#define RL_D32(kind, i) RL_D16(kind, i), RL_D16(kind, i + 4)
#define RL_D64(kind) RL_D32(kind, 0), RL_D32(kind, 8)
#define RL_D128(kind) RL_D64(kind), RL_D32(kind, 16), RL_D32(kind, 24)
#define RL_NAMES_64                                                        \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define RL_NAMES_128                                                                   \
  RL_NAMES_64                                                                          \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define RL_NAMES_256                                                                             \
  RL_NAMES_128                                                                                   \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "           \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// d[64xN] = a[64x32] b[Nx32]^T, N = 8 * the fragments of d, added to d where `accumulate`; a is u8, b is s8, each from
// byte 32 * step of its tile's rows. Warp w of the group holds rows 16 w to 16 w + 15, each fragment laid out as by
// multiply_u8s8. Where d is of floats, a and b are, too: eight numbers of TF32.
#define RL_MULTIPLY_TILES(n, names, a_name, b_name, accumulate_name, Sum, types, scales, ...)           \
  DEVICE void multiply_tiles(Sum(&d)[n / 8][4], uint64_t a, uint64_t b, int step, bool accumulate) {    \
    asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, " accumulate_name                  \
                 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n types " {" names "}, " a_name ", " b_name \
                 ", accumulate" scales ";\n}"                                                           \
                 : __VA_ARGS__                                                                          \
                 : "l"(a + 2 * step), "l"(b + 2 * step), "r"(static_cast<int>(accumulate)));            \
  }
#define RL_MULTIPLY_BYTES(n, names, a_name, b_name, accumulate_name, ...) \
  RL_MULTIPLY_TILES(n, names, a_name, b_name, accumulate_name, int, "k32.s32.u8.s8", "", __VA_ARGS__)
#define RL_MULTIPLY_TF32(n, names, a_name, b_name, accumulate_name, ...) \
  RL_MULTIPLY_TILES(n, names, a_name, b_name, accumulate_name, float, "k8.f32.tf32.tf32", ", 1, 1", __VA_ARGS__)
RL_MULTIPLY_BYTES(64, RL_NAMES_64, "%32", "%33", "%34", RL_D32("+r", 0))
RL_MULTIPLY_BYTES(128, RL_NAMES_128, "%64", "%65", "%66", RL_D64("+r"))
RL_MULTIPLY_BYTES(256, RL_NAMES_256, "%128", "%129", "%130", RL_D128("+r"))
RL_MULTIPLY_TF32(64, RL_NAMES_64, "%32", "%33", "%34", RL_D32("+f", 0))
RL_MULTIPLY_TF32(128, RL_NAMES_128, "%64", "%65", "%66", RL_D64("+f"))
RL_MULTIPLY_TF32(256, RL_NAMES_256, "%128", "%129", "%130", RL_D128("+f"))

#undef RL_MULTIPLY_TF32
#undef RL_MULTIPLY_BYTES
#undef RL_MULTIPLY_TILES
#undef RL_NAMES_256
#undef RL_NAMES_128
#undef RL_NAMES_64
#undef RL_D128
#undef RL_D64
#undef RL_D32
#undef RL_D16
#undef RL_D4
#endif
