// out[i] = f(a[broadcast of i], b[broadcast of i]) over a dense result of `rank` axes (1 to 6), `shape`.
//
// Operand k's element of index i is at sum of i[axis] * strides[axis], in elements; a stride of 0 broadcasts. The last
// stride of each operand is 0 or 1. Any alignment. out may be a or b where that operand is not broadcast, else it does
// not overlap them. Nothing is read or written past the elements so addressed.
// Booleans (b8) are bytes 0 and 1; other bytes read as true. Integers wrap; their div truncates
// towards zero, floor_divide rounds down, and what is divided by 0 gives 0.
// prelu is a where a >= 0, else a * b.
// maximum, minimum give NaN where an operand is NaN. remainder has the divisor's sign, fmod the dividend's; both exact
// but for the addition that remainder may need.
#pragma once

#include <cstdint>

namespace rushlight {

struct BinaryParams {
  int64_t rank, shape[6], a_strides[6], b_strides[6];
};

}  // namespace rushlight
