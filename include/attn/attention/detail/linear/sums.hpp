/// What the forward and the backward pass of the linear path share: sums over tokens, scaled, and added up over pieces.
#pragma once

#include "attn/attention/detail/linear/tokens.hpp"

namespace attn::detail::linear {

/// The coefficients of a polynomial for one head of one sequence.
struct Coefficients {
  double of[max_degree + 1] = {};
};

/// How the sums of a head's pieces become what a piece begins with.
enum class Gather {
  total,   ///< the first gets the sum of all, each row times its monomial's n_f
  before,  ///< each gets the sum of those up to itself
  behind   ///< each gets the sum of those from itself on
};

template <class T>
struct LinearSums {
  using X = Tensor<T const, 4, Kokkos::HostSpace>;
  using Tokens = LinearTokens<T>;

  LinearPlan plan;
  T const* orders;  ///< (rows): n_f

  static void fill_orders(LinearPlan const& plan, T* orders) {
    for (int m = 0; m <= max_degree; ++m) {
      if (plan.has(m)) plan.monomials.orders(m, orders + plan.rows(m));
    }
  }

  /// sums += over tokens `begin` to `end` of f(factor x)^T y.
  void add(Tokens& tokens, X const& x, T factor, X const& y, Index b, Index h_x, Index h_y, int begin, int end,
           T* sums) const {
    for (int i = begin; i < end; i += Tokens::lanes) {
      int const n = std::min(Tokens::lanes, end - i);
      tokens.take(x, b, h_x, i, n, factor);
      tokens.add_to(sums, y, b, h_y, i, n);
    }
  }

  /// to = sums, each row times its monomial's n_f; both may be the same.
  void weigh(T const* sums, T* to) const {
    using P = Pack<T>;
    Index const row = plan.row();
    for (Index f = 0, all = plan.rows(); f < all; ++f) {
      P const n(orders[f]);
      for (Index e = f * row; e < (f + 1) * row; e += P::width) (n * P::load(sums + e)).store(to + e);
    }
  }

  /// The sums of `heads` heads, (heads, pieces, rows, row), in the order of the pieces.
  template <class Exec>
  void gather(std::string const& name, Exec const& exec, Gather how, Index heads, T* sums) const {
    using P = Pack<T>;
    Index const all = plan.numbers(), pieces = plan.pieces(), row = plan.row();
    Index const slab = std::max<Index>(4096 / row, 1) * row, slabs = (all + slab - 1) / slab;
    host::share(name, exec, heads * slabs, 1, [=, orders = orders](Index first, Index last, int) {
      for (Index item = first; item < last; ++item) {
        T* const head = sums + item / slabs * pieces * all;
        Index const begin = item % slabs * slab, end = std::min(all, begin + slab);
        for (Index s = 1; s < pieces; ++s) {
          Index const from = how == Gather::behind ? pieces - s : (how == Gather::before ? s - 1 : s);
          Index const to = how == Gather::behind ? from - 1 : (how == Gather::before ? s : 0);
          for (Index i = begin; i < end; i += P::width) {
            (P::load(head + to * all + i) + P::load(head + from * all + i)).store(head + to * all + i);
          }
        }
        for (Index f = begin / row; f < end / row && how == Gather::total; ++f) {
          P const n(orders[f]);
          for (Index i = f * row; i < (f + 1) * row; i += P::width) (n * P::load(head + i)).store(head + i);
        }
      }
    });
  }
};

}  // namespace attn::detail::linear
