/// SoundRows: rows of a tile that not all queries see, without numbers that would reach those who do not see them.
///
/// A weight of zero hides a number only if that is finite: 0 NaN = NaN. So where a mask cuts a tile, products take a
/// copy in which what is not finite has become zero, and who sees such a number has it added afterwards. That copy is
/// made only if it is needed; otherwise the cost is a look at the rows.
#pragma once

#include "attn/attention/detail/host/call.hpp"

#include <cmath>
#include <vector>

namespace attn::detail::host {

/// Whether all numbers of n rows are finite: the difference of a number and itself has no bit set then.
template <class T>
bool are_finite(RowsOf<T> rows, int n, int width) {
  using P = Pack<T>;
  typename lanes::IntegersOf<P>::Vector bits{};
  T rest(0);
  for (int r = 0; r < n; ++r) {
    T const* const row = rows.data + r * rows.step;
    int d = 0;
    for (; d + P::width <= width; d += P::width) {
      P const x = P::load(row + d), zero = x - x;
      bits |= std::bit_cast<decltype(bits)>(zero.lanes);
    }
    for (; d < width; ++d) rest += row[d] - row[d];
  }
  bool all = rest == T(0);
  for (int l = 0; l < P::width; ++l) all &= bits[l] == 0;
  return all;
}

template <class T>
class SoundRows {
 public:
  SoundRows() = default;
  /// `n` rows, of which those before `seen_first` and from `seen_last` on are hidden from some.
  SoundRows(RowsOf<T> rows, int n, int width, int seen_first, int seen_last) : rows_(rows), sound_(rows) {
    if (seen_first <= 0 && seen_last >= n) return;
    seen_first = std::clamp(seen_first, 0, n);
    seen_last = std::clamp(seen_last, seen_first, n);
    RowsOf<T> const behind{rows.data + seen_last * rows.step, rows.step};
    if (are_finite(rows, seen_first, width) && are_finite(behind, n - seen_last, width)) return;
    n_ = n;
    width_ = width;
    copy_.resize(std::size_t(n) * std::size_t(width));
    for (int r = 0; r < n; ++r) {
      for (int d = 0; d < width; ++d) {
        T const x = rows.data[r * rows.step + d];
        copy_[std::size_t(r * width + d)] = std::isfinite(x) ? x : T(0);
      }
    }
    sound_ = {copy_.data(), width};
  }
  SoundRows(SoundRows const&) = delete;

  /// What products take, and what was there.
  RowsOf<T> sound() const { return sound_; }
  RowsOf<T> all() const { return rows_; }

  /// add(row, column, number) for each number that is not finite.
  template <class Add>
  void for_others(Add const& add) const {
    for (int r = 0; r < n_; ++r) {
      for (int d = 0; d < width_; ++d) {
        if (T const x = rows_.data[r * rows_.step + d]; !std::isfinite(x)) add(r, d, x);
      }
    }
  }

 private:
  RowsOf<T> rows_{}, sound_{};
  int n_ = 0, width_ = 0;  // of a copy
  std::vector<T> copy_;
};

/// What `accumulate_over_keys` leaves out of a tile of keys from `key` on: numbers of rows that are not finite, times
/// weights, for those who see them.
template <class P, int Columns, class T>
void add_others_over_keys(SoundRows<T> const& rows, T const* tile, int key, VisibleKeys<P, Columns> const& visible,
                          T* to) {
  constexpr Index lanes = Columns * P::width;
  rows.for_others([&](int j, int e, T x) {
    for (int c = 0; c < Columns; ++c) {
      T* const at = to + e * lanes + c * P::width;
      P const sum = P::load(at), more = sum + P(x) * P::load(tile + j * lanes + c * P::width);
      visible.choose(key + j, c, more, sum).store(at);
    }
  });
}

}  // namespace attn::detail::host
