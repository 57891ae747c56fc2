/// Prefetcher: asks for memory before it is needed, a few lines at a time.
#pragma once

#include "attn/core/tensor.hpp"

#include <algorithm>

namespace attn::detail::host {

/// Rows that the next block of queries will read, or that this one will write. They are asked for between the steps of
/// a block's work: a processor has buffers for a few dozen misses, and stands still when it is asked for more.
class Prefetcher {
 public:
  /// Rows `first` to `first + n` of x (batch, heads, tokens, width).
  /// Few lines are asked for at once.
  template <class X>
  void add(X const& x, Index b, Index h, Index first, Index n) {
    auto const* const begin = x.data() + b * x.stride(0) + h * x.stride(1) + first * x.stride(2);
    constexpr Index size = Index(sizeof(*begin));
    Rows rows{reinterpret_cast<char const*>(begin), x.stride(2) * size, static_cast<int>(n),
              static_cast<int>(x.extent(3) * size)};
    int const lines = rows.n * ((rows.bytes + line - 1) / line);
    if (lines <= few) {
      for (int r = 0; r < rows.n; ++r, rows.data += rows.step) {
        for (int at = 0; at < rows.bytes; at += line) __builtin_prefetch(rows.data + at, read, into_l2);
      }
    } else {
      queue_[n_queued_++] = rows;
      lines_ += lines;
    }
  }

  /// Says in how many steps all rows are to be asked for.
  void spread(int steps) {
    if (lines_ > 0) quota_ = (lines_ + steps - 1) / std::max(steps, 1);
  }

  /// One step.
  void advance() {
    for (int left = quota_; left > 0 && at_ < n_queued_;) {
      Rows& rows = queue_[at_];
      for (; left > 0 && offset_ < rows.bytes; offset_ += line, --left) {
        __builtin_prefetch(rows.data + offset_, read, into_l2);
      }
      if (offset_ < rows.bytes) continue;
      offset_ = 0;
      rows.data += rows.step;
      if (--rows.n <= 0) ++at_;
    }
  }

 private:
  static constexpr int line = 64, read = 0, into_l2 = 2, few = 24;
  struct Rows {
    char const* data;
    Index step;
    int n, bytes;
  };

  Rows queue_[8];
  int n_queued_ = 0, at_ = 0, quota_ = 0, offset_ = 0, lines_ = 0;
};

}  // namespace attn::detail::host
