// Loops of kernels whose operands step through memory by strides; the host makes Axes (runtime/cuda/axes.py).
#pragma once
#include "device.cuh"

// The axes of what is computed, innermost first, in units of `vector` elements: thread i's unit has a place along each,
// and every operand has a stride for each.
struct Axes {
  int64_t elements;     // the last unit of a single axis may have fewer than `vector`
  int64_t strides[36];  // [axis][operand], in elements, from unit to unit
  uint32_t units;
  uint32_t rank;  // at least 1
  uint32_t vector;
  uint32_t varying;  // bit k: the elements of a unit are neighbours in operand k, else all the same
  uint32_t size[9];
  uint32_t multiplier[9];  // n / size = n * multiplier >> shift for n < 2^31
  uint32_t shift[9];
};

constexpr int kStridedOperands = 4, kUnitThreads = 256;

// Calls visit(axis, place) for every axis, innermost first, with the place of a unit along it.
template <class Visit>
DEVICE void for_each_axis(const Axes& axes, uint32_t unit, Visit visit) {
#pragma unroll 1
  for (uint32_t axis = 0; axis + 1 < axes.rank; ++axis) {
    const auto rest = static_cast<uint32_t>(static_cast<uint64_t>(unit) * axes.multiplier[axis] >> axes.shift[axis]);
    visit(axis, unit - rest * axes.size[axis]);
    unit = rest;
  }
  visit(axes.rank - 1, unit);
}

DEVICE bool varies(const Axes& axes, int operand) { return axes.varying >> operand & 1; }

// Where a unit begins in each operand, in elements.
template <int Operands>
struct Offsets {
  int64_t of[Operands];
};

template <int Operands>
DEVICE Offsets<Operands> locate(const Axes& axes, uint32_t unit) {
  Offsets<Operands> offsets = {};
  for_each_axis(axes, unit, [&](uint32_t axis, uint32_t place) {
#pragma unroll
    for (int k = 0; k < Operands; ++k) {
      offsets.of[k] += axes.strides[axis * kStridedOperands + k] * static_cast<int64_t>(place);
    }
  });
  return offsets;
}

// Calls visit(unit) for every unit: neighbouring threads have neighbouring ones.
template <class Visit>
DEVICE void for_each_unit(const Axes& axes, Visit visit) {
  const uint32_t step = gridDim.x * kUnitThreads;
  for (uint32_t unit = blockIdx.x * kUnitThreads + threadIdx.x; unit < axes.units; unit += step) visit(unit);
}

// N neighbouring elements, aligned so that they are read and written at once, or 16 bytes of them.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T lane[N];
};

// N elements from p on, or one N times.
template <int N, class T>
DEVICE Pack<T, N> read_pack(const T* p, bool varies) {
  if constexpr (sizeof(T) == 1 && N % 4 == 0) {
    Pack<uint32_t, N / 4> words;
    if (varies) {
      words = *reinterpret_cast<const Pack<uint32_t, N / 4>*>(p);
    } else {
      const uint32_t word = __builtin_bit_cast(uint8_t, *p) * 0x01010101u;
#pragma unroll
      for (int i = 0; i < N / 4; ++i) words.lane[i] = word;
    }
    return __builtin_bit_cast(Pack<T, N>, words);
  }
  if (N > 1 && varies) return *reinterpret_cast<const Pack<T, N>*>(p);
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.lane[i] = *p;
  return pack;
}

template <int N, class T>
DEVICE void write_pack(T* p, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

template <int Operands, int N, class Body>
DEVICE void for_each_pack(const Axes& axes, Body body) {
  for_each_unit(axes, [&](uint32_t unit) {
    const int64_t first = static_cast<int64_t>(unit) * N;
    Offsets<Operands> from = locate<Operands>(axes, unit);
    if constexpr (N > 1) {
      if (first + N > axes.elements) {
#pragma unroll 1
        for (int64_t i = first; i < axes.elements; ++i) {
          body.template operator()<1>(i, from);
#pragma unroll
          for (int k = 0; k < Operands; ++k) from.of[k] += varies(axes, k);
        }
        return;
      }
    }
    body.template operator()<N>(first, from);
  });
}

// Calls body<N>(to, from) for N elements of a dense result at a time, which begin at `to` and at from.of[k] of operand
// k. N is axes.vector: Widest, of 16 also 8 and 4, or 1.
template <int Operands, int Widest, class Body>
DEVICE void map_elements(const Axes& axes, Body body) {
  if (axes.vector == Widest) return for_each_pack<Operands, Widest>(axes, body);
  if constexpr (Widest == 16) {
    if (axes.vector == 8) return for_each_pack<Operands, 8>(axes, body);
    if (axes.vector == 4) return for_each_pack<Operands, 4>(axes, body);
  }
  for_each_pack<Operands, 1>(axes, body);
}
