/// Functors of elementwise work that many modules need: copies and sums of matrices. Rows lie `stride` elements apart.
#pragma once

#include "attn/core/elementwise.hpp"

namespace attn {

/// to = from, in another scalar perhaps.
template <class S, class T>
struct CopyMatrix {
  S const* from;
  T* to;
  Index from_stride, to_stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    lanes.store(to + row * to_stride + column, lanes.load(from + row * from_stride + column));
  }
};

/// y = a + b; y may be a or b.
template <class T>
struct AddMatrices {
  T const* a;
  T const* b;
  T* y;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const at = row * stride + column;
    lanes.store(y + at, lanes.load(a + at) + lanes.load(b + at));
  }
};

/// Each row of y += `addend`: a bias.
template <class T, class R = T>
struct AddToRows {
  T* y;
  R const* addend;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    T* const at = y + row * stride + column;
    lanes.store(at, lanes.load(at) + lanes.load(addend + column));
  }
};

/// to (1, size) += parts (count, size), one part after the other.
template <class T>
struct AddParts {
  T const* parts;
  T* to;
  Index count, size;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index column) const {
    auto sum = lanes.load(to + column);
    for (Index p = 0; p < count; ++p) sum += lanes.load(parts + p * size + column);
    lanes.store(to + column, sum);
  }
};

}  // namespace attn
