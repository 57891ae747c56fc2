/// overlap: whether two tensors share memory, for functions that must not read what they have written.
#pragma once

#include "attn/core/tensor.hpp"

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace attn {

namespace detail {

/// Where the elements of a tensor lie, in bytes: from the first to behind the last.
struct ByteRange {
  std::intptr_t begin = 0, end = 0;
};
template <class T, int Rank, class Memory>
ByteRange byte_range(Tensor<T, Rank, Memory> const& x) {
  std::intptr_t const element = std::intptr_t(sizeof(T));
  ByteRange r{reinterpret_cast<std::intptr_t>(x.data()), reinterpret_cast<std::intptr_t>(x.data()) + element};
  for (int d = 0; d < Rank; ++d) {
    std::intptr_t const reach = (x.extent(d) - 1) * x.stride(d) * element;
    (reach > 0 ? r.end : r.begin) += reach;
  }
  return r;
}

/// Whether `distance` is a sum of k_r stride_r with -before_r < k_r < after_r, over dimensions `r` and later, sorted by
/// their strides, the largest first.
template <int Rank>
bool is_reached(Index distance, Extents<Rank> const& strides, Extents<Rank> const& before, Extents<Rank> const& after,
                int r = 0) {
  if (r == Rank) return distance == 0;
  if (strides[r] == 0) return is_reached<Rank>(distance, strides, before, after, r + 1);
  Index low = 0, high = 0;  // what later dimensions reach
  for (int s = r + 1; s < Rank; ++s) {
    low -= (before[s] - 1) * strides[s];
    high += (after[s] - 1) * strides[s];
  }
  auto const floor = [&](Index x) { return x >= 0 ? x / strides[r] : -((-x + strides[r] - 1) / strides[r]); };
  Index const first = std::max(floor(distance - high + strides[r] - 1), 1 - before[r]);
  Index const last = std::min(floor(distance - low), after[r] - 1);
  for (Index k = first; k <= last; ++k) {
    if (is_reached<Rank>(distance - k * strides[r], strides, before, after, r + 1)) return true;
  }
  return false;
}

}  // namespace detail

/// Whether an element of `a` lies where one of `b` does. Exact for contiguous tensors and for those of equal types and
/// strides, as the parts of a fused projection are. Of others only what starts at the same place is known to overlap.
template <class T, class U, int RankA, int RankB, class Memory>
requires(std::is_pointer_v<decltype(Tensor<T, RankA, Memory>{}.data())>&& std::is_pointer_v<
         decltype(Tensor<U, RankB, Memory>{}.data())>) bool overlap(Tensor<T, RankA, Memory> const& a,
                                                                    Tensor<U, RankB, Memory> const& b) {
  if (a.size() == 0 || b.size() == 0 || a.data() == nullptr || b.data() == nullptr) return false;
  auto const x = detail::byte_range(a), y = detail::byte_range(b);
  if (x.end <= y.begin || y.end <= x.begin) return false;
  if (static_cast<void const*>(a.data()) == static_cast<void const*>(b.data())) return true;
  if (a.is_contiguous() && b.is_contiguous()) return true;
  if constexpr (RankA == RankB && std::same_as<std::remove_const_t<T>, std::remove_const_t<U>>) {
    Extents<RankA> strides = a.strides(), before = a.extents(), after = b.extents();
    std::intptr_t const bytes = reinterpret_cast<std::intptr_t>(a.data()) - reinterpret_cast<std::intptr_t>(b.data());
    // A dimension of one element has no stride.
    for (int r = 0; r < RankA; ++r) {
      if (before[r] == 1 && after[r] == 1) continue;
      Index const other = b.stride(r);
      if (before[r] == 1) strides[r] = other;
      if (after[r] != 1 && strides[r] != other) return false;
      if (strides[r] < 0) return false;
    }
    for (int r = 0; r < RankA; ++r) {
      if (before[r] == 1 && after[r] == 1) strides[r] = 0;
    }
    for (int i = 0; i < RankA; ++i) {
      for (int r = 0; r + 1 < RankA; ++r) {
        if (strides[r] >= strides[r + 1]) continue;
        std::swap(strides[r], strides[r + 1]);
        std::swap(before[r], before[r + 1]);
        std::swap(after[r], after[r + 1]);
      }
    }
    // a at i and b at j: (a - b) + sum i_r stride_r = sum j_r stride_r, hence sum (j_r - i_r) stride_r = a - b
    return bytes % std::intptr_t(sizeof(T)) != 0 ||
           detail::is_reached<RankA>(bytes / std::intptr_t(sizeof(T)), strides, before, after);
  }
  return false;
}

}  // namespace attn
