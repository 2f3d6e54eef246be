// What kernels use of Hopper (sm_90a): tensor memory access, barriers on which it reports, asynchronous products of a
// warp group. Twins in hopper_emulated.h.
#pragma once
#include "device.cuh"

// A matrix of bytes in global memory for load_tile, made by the host (cuTensorMapEncodeTiled): tiles come 128 bytes
// wide, with the 128-byte swizzle, zeros outside of the matrix.
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

// Starts the copy of the tile at byte `column` of row `row`; `barrier` hears of its bytes.
DEVICE void load_tile(void* dst, const TensorMap* map, int column, int row, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(dst)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
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

// Rows of 128 bytes with the 128-byte swizzle, atoms of eight rows one after another; see "matrix descriptor" of the
// PTX ISA.
DEVICE uint64_t describe_tile(const void* tile) {
  constexpr uint64_t kAtomBytes = 1024, kSwizzle128 = 1;
  return (shared_address(tile) & 0x3FFFF) >> 4 | uint64_t{1} << 16 | kAtomBytes >> 4 << 32 | kSwizzle128 << 62;
}

#define RUSHLIGHT_D4(i) "+r"(d[i][0]), "+r"(d[i][1]), "+r"(d[i][2]), "+r"(d[i][3])
#define RUSHLIGHT_D16(i) RUSHLIGHT_D4(i), RUSHLIGHT_D4(i + 1), RUSHLIGHT_D4(i + 2), RUSHLIGHT_D4(i + 3)

// d[64x256] = a[64x32] b[256x32]^T, added to d where `accumulate`; a is u8, b is s8, each from byte 32 * step of its
// tile's rows. Warp w of the group holds rows 16 w to 16 w + 15, each fragment laid out as by multiply_u8s8.
DEVICE void multiply_tiles(int (&d)[32][4], uint64_t a, uint64_t b, int step, bool accumulate) {
  asm volatile(
      "{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k32.s32.u8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
      "%128, %129, accumulate;\n}"
      : RUSHLIGHT_D16(0), RUSHLIGHT_D16(4), RUSHLIGHT_D16(8), RUSHLIGHT_D16(12), RUSHLIGHT_D16(16), RUSHLIGHT_D16(20),
        RUSHLIGHT_D16(24), RUSHLIGHT_D16(28)
      : "l"(a + 2 * step), "l"(b + 2 * step), "r"(static_cast<int>(accumulate)));
}

#undef RUSHLIGHT_D16
#undef RUSHLIGHT_D4
#endif
