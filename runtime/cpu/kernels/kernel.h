// What every kernel family shares with the plan executor: one call, one table row, one description of parameters.
//
// A family is a folder kernels/<family>/ with
//   <family>.h     formula, Params, operands, who may alias whom, what may be read past the end
//   <family>.cc    the Family value: names, fields, task count, scratch size, packing; includes kernels.inc
//   kernels.inc    one row a kernel: ROW(isa, symbol, types, mr, nr), best first, generic last; of all architectures
//   generic.h      the portable template that the ISA files instantiate with their vector type
//   x86_<isa>.cc, arm_<isa>.cc, generic.cc
// An ISA file holds an anonymous namespace, intrinsics and its exported entry points, nothing else with external
// linkage: a template that leaks out of it as a weak symbol could be the copy that every CPU runs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

// Those of the other architecture are never available.
enum class Isa : uint8_t { generic, avx2, avxvnni, avx512, avx512vnni, amxint8, neon, neondot };
constexpr int kIsas = int(Isa::neondot) + 1;

// RL_ON_<isa>(text): text where the architecture has the set. Tables of rows leave out the others by it.
#define RL_ON_generic(...) __VA_ARGS__
#if defined(__x86_64__)
#define RL_ON_avx2(...) __VA_ARGS__
#define RL_ON_avxvnni(...) __VA_ARGS__
#define RL_ON_avx512(...) __VA_ARGS__
#define RL_ON_avx512vnni(...) __VA_ARGS__
#define RL_ON_amxint8(...) __VA_ARGS__
#define RL_ON_neon(...)
#define RL_ON_neondot(...)
#elif defined(__aarch64__)
#define RL_ON_avx2(...)
#define RL_ON_avxvnni(...)
#define RL_ON_avx512(...)
#define RL_ON_avx512vnni(...)
#define RL_ON_amxint8(...)
#define RL_ON_neon(...) __VA_ARGS__
#define RL_ON_neondot(...) __VA_ARGS__
#endif

// One execution of one step. Operands are in the order of Family::operands; an absent optional one is null.
struct Call {
  void* const* operand;
  const void* params;  // the family's Params
  std::byte* scratch;  // Family::scratch_bytes long, 64-byte aligned, one a thread, contents undefined
};

// Computes tasks [begin, end) of a call. Tasks of one call run in any order and on any thread, and write disjoint
// memory: how they are split can not change a bit of the result. The caller has set FTZ and DAZ. Never throws, never
// allocates.
using KernelFn = void (*)(const Call& call, int64_t begin, int64_t end);

struct Row {
  const char* symbol;  // <op>_<types>_<tile>_<isa>
  const char* op;      // what is computed, the name that lowering looks up: "relu", "gemm"
  const char* types;   // operand dtypes, destination last: "u8s8u8"
  Isa isa;
  int mr, nr;  // register tile in elements of the destination; 0 where a family has none
  KernelFn run;
};

// Rows and columns of the destination, 0 x 0 where nothing is computed.
struct Tile {
  int64_t rows, columns;
};

struct Field {
  const char* name;
  char type;        // 'i' int64_t, 'f' float, 'd' double
  uint32_t offset;  // bytes from the start of Params
  uint32_t count;   // elements: arrays are fixed in length
};

struct Operand {
  const char* name;
  bool is_written;
};

struct Family {
  const char* name;
  const Field* fields;
  size_t n_fields;
  size_t params_bytes;
  const Operand* operands;
  size_t n_operands;
  const Row* rows;
  size_t n_rows;
  // How many tasks a call with these parameters splits into (0: nothing to do).
  int64_t (*tasks)(const Row& row, const void* params);
  // Rough cost of a call in nanoseconds on one core: the executor wakes no thread for calls that are not worth it.
  double (*cost_ns)(const Row& row, const void* params);
  size_t (*scratch_bytes)(const Row& row, const void* params);
  // Weight packing, null where a family has none: bytes of the packed form, and the packing of src (dense, row-major,
  // its meaning stated in <family>.h) into dst (64-byte aligned). Depends on static parameters only.
  size_t (*packed_bytes)(const Row& row, const void* params);
  void (*pack)(const Row& row, const void* params, const void* src, void* dst);
  // The register tile that most of a call is computed by, null where that is the row's.
  Tile (*tile)(const Row& row, const void* params) = nullptr;
};

#define RL_FIELD(P, type, name) {#name, type, offsetof(P, name), sizeof(P::name) / (type == 'f' ? 4 : 8)}

}  // namespace rushlight
