/// LinearTokens: the monomials of a block of tokens, and the three products that sums over monomials take part in.
///
///     product                     left, broadcast      right, in lanes     sum over
///     sums   (f, E) += f(x)^T y   monomials of tokens  rows of y           tokens
///     result^T (E, x) = S^T f(x)  columns of S         monomials           f
///     d_f^T  (f, x) = S y^T       rows of S            tokens' y           E
///
/// all by the register block of host/tile.hpp. Monomials of the highest degree are made `tile` at a time, in L1; they
/// are never all there.
#pragma once

#include "attn/attention/detail/linear/plan.hpp"

namespace attn::detail::linear {

template <class T>
class LinearTokens {
 public:
  using P = Pack<T>;
  static constexpr int lanes = host::block_queries<T>;  ///< tokens in a block
  static constexpr int tile = 64;
  using X = Tensor<T const, 4, Kokkos::HostSpace>;

  LinearTokens(LinearPlan const& plan, host::Arena& arena, bool with_gradients)
      : plan_(plan), of_(plan.monomials), top_(plan.top_degree()), row_(plan.row()) {
    for (int m = 0; m <= max_degree; ++m) first_row_[m] = plan.rows(m);
    for (int m = 0; m < top_ || m <= 1; ++m) {
      monomials_[m] = arena.take<T>(of_.count(m) * lanes);
      if (with_gradients) d_monomials_[m] = arena.take<T>(of_.count(m) * lanes);
    }
    tile_ = arena.take<T>(tile * lanes);
    rows_ = arena.take<T>(lanes * row_);
    columns_ = arena.take<T>(Index(plan.shape.value_width) * lanes);
    result_ = arena.take<T>(Index(plan.shape.value_width) * lanes);
  }

  /// Takes tokens `first` to `first + n` of x (B, H, tokens, D), times `factor`.
  void take(X const& x, Index b, Index h, int first, int n, T factor) {
    host::pack_lanes<P, columns>(x, b, h, first, n, factor, monomials_[1]);
    if (plan_.has(0)) std::fill_n(monomials_[0], lanes, T(1));
    for (int m = 2; m < top_; ++m) {
      expand<P>(of_, m, 0, of_.count(m), monomials_[1], monomials_[m - 1], monomials_[m]);
    }
  }

  /// sums (rows, row) += f(x)^T y, over the tokens taken and the same of y.
  void add_to(T* sums, X const& y, Index b, Index h, int first, int n) {
    host::RowsOf<T> rows = host::rows_of<T>(y, b, h, first, n, rows_);
    if (row_ != plan_.shape.value_width) {
      host::copy_rows(y, b, h, first, n, T(1), static_cast<int>(row_), rows_);
      rows = {rows_, row_};
    }
    for_tiles([&](int m, Index f, int size, T const* monomials) {
      host::accumulate_rows(monomials, Index(lanes), host::UnitStep(), size, rows, n, at(sums, m, f),
                            static_cast<int>(row_));
    });
  }

  /// sum over the monomials of degree m of f(x) S -> (E, lanes).
  T* result(T const* sums, int m) {
    for_tiles_of(m, [&](Index f, int size, T const* monomials) {
      host::accumulate_over_keys<P, columns>(host::RowsOf<T>{at(sums, m, f), row_}, plan_.shape.value_width, monomials,
                                             size, f == 0, result_);
    });
    return result_;
  }

  /// y of the tokens in lanes, (E, lanes), times `factor`.
  T const* in_lanes(X const& y, Index b, Index h, int first, int n, T factor) {
    host::pack_lanes<P, columns>(y, b, h, first, n, factor, columns_);
    return columns_;
  }

  /// The gradient of x (D, lanes) of the sum over tokens, degrees and monomials of <f(x) S, y>; y_of(m) are the tokens'
  /// y in lanes for degree m.
  template <class Y>
  T* pull(T const* sums, Y const& y_of) {
    for (int m = 1; m < top_ || m == 1; ++m) std::fill_n(d_monomials_[m], of_.count(m) * lanes, T(0));
    for (int m = top_; m >= 1; --m) {
      if (plan_.has(m)) {
        T const* const y = y_of(m);
        for (Index f = 0, all = of_.count(m); f < all; f += tile) {
          int const size = static_cast<int>(std::min<Index>(tile, all - f));
          if (m == top_ && m > 1) {
            multiply(at(sums, m, f), size, y, tile_, false);
            pull_back<P>(of_, m, f, f + size, monomials_[1], monomials_[m - 1], tile_, d_monomials_[m - 1],
                         d_monomials_[1]);
          } else {
            multiply(at(sums, m, f), size, y, d_monomials_[m] + f * lanes, true);
          }
        }
      }
      if (m < top_ && m > 1) {
        pull_back<P>(of_, m, 0, of_.count(m), monomials_[1], monomials_[m - 1], d_monomials_[m], d_monomials_[m - 1],
                     d_monomials_[1]);
      }
    }
    return d_monomials_[1];
  }

 private:
  template <class S>
  S* at(S* sums, int m, Index f) const {
    return sums + (first_row_[m] + f) * row_;
  }

  /// Calls f(first, n, monomials (n, lanes)) for all of degree m, some at a time.
  template <class F>
  void for_tiles_of(int m, F const& f) {
    for (Index first = 0, all = of_.count(m); first < all; first += tile) {
      int const n = static_cast<int>(std::min<Index>(tile, all - first));
      if (m < top_ || m <= 1) {
        f(first, n, monomials_[m] + first * lanes);
      } else {
        expand<P>(of_, m, first, first + n, monomials_[1], monomials_[m - 1], tile_);
        f(first, n, tile_);
      }
    }
  }
  template <class F>
  void for_tiles(F const& f) {
    for (int m = 0; m <= top_; ++m) {
      if (plan_.has(m)) for_tiles_of(m, [&](Index first, int n, T const* monomials) { f(m, first, n, monomials); });
    }
  }

  /// to (n, lanes) = S y^T, or added to it.
  void multiply(T const* sums, int n, T const* y, T* to, bool adds) const {
    host::in_groups<host::block_rows(columns)>(n, [&](int f, auto rows) {
      P block[rows][columns];
      if (adds) {
        host::load_block(block, to + f * lanes, lanes);
      } else {
        host::transform_block(block, [](P, int, int) { return P(T(0)); });
      }
      host::multiply_add(block, sums + f * row_, row_, host::UnitStep(), y, lanes, plan_.shape.value_width);
      host::store_block(block, to + f * lanes, lanes);
    });
  }

  LinearPlan plan_;
  Monomials of_;
  int top_;
  Index row_;
  Index first_row_[max_degree + 1] = {};
  T* monomials_[max_degree + 1] = {};
  T* d_monomials_[max_degree + 1] = {};
  T *tile_, *rows_, *columns_, *result_;
};

}  // namespace attn::detail::linear
