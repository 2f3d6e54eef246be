#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "amx.h"
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace rushlight {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::generic: return "generic";
    case Isa::avx2: return "avx2";
    case Isa::avxvnni: return "avxvnni";
    case Isa::avx512: return "avx512";
    case Isa::avx512vnni: return "avx512vnni";
    case Isa::amxint8: return "amxint8";
    case Isa::neon: return "neon";
    case Isa::neondot: return "neondot";
  }
  return "unknown";
}

namespace {

constexpr uint32_t bit(Isa isa) { return 1u << int(isa); }

#if defined(__x86_64__)

// CPUID leaf 7, subleaf 1, EAX bit 4 (Intel SDM, volume 2A, CPUID): GCC 12's __builtin_cpu_supports does not know
// AVX-VNNI.
bool has_avxvnni_bit() {
  uint32_t a, b, c, d;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
  if (a < 7) return false;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
  if (a < 1) return false;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(1));
  return (a >> 4) & 1;
}

uint32_t detect() {
  __builtin_cpu_init();
  uint32_t mask = bit(Isa::generic);
  // __builtin_cpu_supports answers for the CPU and for the operating system (XGETBV).
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!avx2) return mask;
  mask |= bit(Isa::avx2);
  if (has_avxvnni_bit()) mask |= bit(Isa::avxvnni);
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!avx512) return mask;
  mask |= bit(Isa::avx512);
  if (!__builtin_cpu_supports("avx512vnni")) return mask;
  mask |= bit(Isa::avx512vnni);
  if (request_amx_int8()) mask |= bit(Isa::amxint8);
  return mask;
}

constexpr uint32_t kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;

#elif defined(__aarch64__)

// Every ARMv8-A CPU that Linux runs on has NEON.
uint32_t detect() {
  const bool has_dot = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
  return bit(Isa::generic) | bit(Isa::neon) | (has_dot ? bit(Isa::neondot) : 0);
}

constexpr uint64_t kFlushToZero = 1 << 24;  // FPCR.FZ

#endif

}  // namespace

uint32_t available_isas() {
  static const uint32_t mask = detect();
  return mask;
}

#if defined(__x86_64__)

FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) {
  _mm_setcsr(uint32_t(saved_) | kFlushToZero | kDenormalsAreZero);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(uint32_t(saved_)); }

#elif defined(__aarch64__)

FlushDenormals::FlushDenormals() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" : : "r"(saved_ | kFlushToZero) : "memory");
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_) : "memory"); }

#endif

}  // namespace rushlight
