#include "amx.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/gemm/tile_registers.h"

namespace rushlight {

namespace {

// Intel SDM: volume 2A, CPUID, leaf 7, EDX; volume 1, chapter 13, XCR0.
constexpr uint32_t kTileBit = 1u << 24, kInt8Bit = 1u << 25;
constexpr uint32_t kTileStates = 1u << 17 | 1u << 18;

// Linux, Documentation/arch/x86/xstate.rst: a process asks once, for all of its threads; who does not ask is killed.
constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr int kTileData = 18;

}  // namespace

bool request_amx_int8() {
  uint32_t a = 7, b, c = 0, d;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if (!(d & kTileBit) || !(d & kInt8Bit)) return false;
  asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  if ((a & kTileStates) != kTileStates) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

void multiply_tiles(int64_t rounds) {
  TileConfig config{};
  config.palette = 1;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = 16;
  }
  asm volatile(
      "ldtilecfg %1\n"
      "1:\n.rept 2\n.irp i,0,1,2,3,4,5\ntdpbusd %%tmm7, %%tmm6, %%tmm\\i\n.endr\n.endr\n"
      "dec %0\njnz 1b\n"
      "tilerelease"
      : "+r"(rounds)
      : "m"(config)
      : "cc");
}

}  // namespace rushlight
