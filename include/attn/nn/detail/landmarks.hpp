/// Landmarks of packed sequences: means of q or k over segments of equal length.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/nn/packed_sequences.hpp"

namespace attn::nn::detail {

/// first_row[b landmarks + s]: the first row of sequence b at or behind the start of segment s; one more at the end.
template <class Memory>
struct FindSegments {
  PackedSequences<Memory> sequences;
  int* first_row;
  Index landmarks, segment_length;

  ATTN_FUNCTION void operator()(Index l) const {
    Index const b = l / landmarks;
    if (b == sequences.batch()) {
      first_row[l] = sequences.offsets(b);
      return;
    }
    int low = sequences.offsets(b), high = sequences.offsets(b + 1);
    Index const start = l % landmarks * segment_length;
    while (low < high) {
      int const middle = low + (high - low) / 2;
      sequences.position_of(middle) < start ? low = middle + 1 : high = middle;
    }
    first_row[l] = low;
  }
};

/// mean_l = sum of the rows of segment l / segment_length: hidden tokens count as zeros.
template <class T>
struct SegmentMeans {
  T const* x;
  T* means;
  int const* first_row;
  Index width, stride, segment_length;  // stride: of the rows of x
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index l, Index column) const {
    using Value = typename Lanes::Value;
    Value sum(T(0));
    for (int r = first_row[l]; r < first_row[l + 1]; ++r) sum += lanes.load(x + r * stride + column);
    lanes.store(means + l * width + column, sum * Value(T(1) / T(segment_length)));
  }
};

/// forward: mean_l = sum of x_r / segment_length; hence d_x_r += (d_mean_l + also_l) / segment_length
template <class T>
struct SpreadToSegments {
  T const* d_means;
  T const* also;
  T* d_x;
  int const* first_row;
  Index width, stride, segment_length;  // stride: of the rows of d_x
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index l, Index column) const {
    using Value = typename Lanes::Value;
    Index const from = l * width + column;
    Value const d = (lanes.load(d_means + from) + lanes.load(also + from)) * Value(T(1) / T(segment_length));
    for (int r = first_row[l]; r < first_row[l + 1]; ++r) {
      T* const at = d_x + r * stride + column;
      lanes.store(at, lanes.load(at) + d);
    }
  }
};

}  // namespace attn::nn::detail
