#include "isa.h"

#include <immintrin.h>

#include "amx.h"

namespace rushlight {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::generic: return "generic";
    case Isa::avx2: return "avx2";
    case Isa::avxvnni: return "avxvnni";
    case Isa::avx512: return "avx512";
    case Isa::avx512vnni: return "avx512vnni";
    case Isa::amxint8: return "amxint8";
  }
  return "unknown";
}

namespace {

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
  uint32_t mask = 1u << int(Isa::generic);
  // __builtin_cpu_supports answers for the CPU and for the operating system (XGETBV).
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!avx2) return mask;
  mask |= 1u << int(Isa::avx2);
  if (has_avxvnni_bit()) mask |= 1u << int(Isa::avxvnni);
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!avx512) return mask;
  mask |= 1u << int(Isa::avx512);
  if (!__builtin_cpu_supports("avx512vnni")) return mask;
  mask |= 1u << int(Isa::avx512vnni);
  if (request_amx_int8()) mask |= 1u << int(Isa::amxint8);
  return mask;
}

constexpr uint32_t kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;

}  // namespace

uint32_t available_isas() {
  static const uint32_t mask = detect();
  return mask;
}

FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
FlushDenormals::~FlushDenormals() { _mm_setcsr(saved_); }

}  // namespace rushlight
