/// Monomials: the coordinates of symmetric powers, which make (q.k)^m a product of something of q and something of k.
///
///     (q.k)^m = sum over monomials f of degree m of n_f f(q) f(k)
///
/// f runs over x_a1 x_a2 ... x_am with a1 <= a2 <= ... <= am, and n_f is how many orders its variables have (the
/// multinomial theorem). There are C(D + m - 1, m) of them, about D^m / m!. They are numbered in the order of (a1, a2,
/// ...), so that the monomials of degree m that begin with x_a are x_a times the last monomials of degree m - 1: those
/// in variables from a on.
#pragma once

#include "attn/activation/polynomial.hpp"
#include "attn/attention/detail/host/tile.hpp"

namespace attn::detail::linear {

class Monomials {
 public:
  Monomials() = default;
  explicit Monomials(int width) : width_(width) {
    for (int m = 0; m <= max_degree; ++m) counts_[m] = count(width, m);
  }

  /// Of degree m in n variables.
  static constexpr Index count(Index n, int m) {
    Index c = 1;
    for (int i = 1; i <= m; ++i) c = c * (n + i - 1) / i;
    return c;
  }
  Index count(int m) const { return counts_[m]; }

  /// Where the monomials that begin with each variable are, in memory for `table_size()` numbers; `for_runs` looks
  /// there.
  Index table_size() const { return (max_degree + 1) * Index(width_ + 1); }
  void make_tables(Index* memory) {
    for (int m = 0; m <= max_degree; ++m) {
      Index* const first = memory + m * (width_ + 1);
      for (int a = 0; a <= width_; ++a) first[a] = counts_[m] - count(width_ - a, m);
      first_[m] = first;
    }
  }

  /// Calls f(a, monomial, end, below) for those of degree m >= 2 from `begin` to `end` that begin with the same x_a:
  /// the numbers from `monomial` on are x_a times the numbers from `below` on of degree m - 1.
  template <class F>
  void for_runs(int m, Index begin, Index end, F const& f) const {
    Index const *const first = first_[m], *const first_below = first_[m - 1];
    int a = 0;
    for (Index i = begin; i < end;) {
      while (first[a + 1] <= i) ++a;
      Index const last = std::min(end, first[a + 1]);
      f(a, i, last, first_below[a] + i - first[a]);
      i = last;
    }
  }

  /// -> to (count(m)): n_f.
  template <class T>
  void orders(int m, T* to) const {
    int at[max_degree + 1] = {};
    for (Index f = 0; f < count(m); ++f) {
      double n = 1;
      for (int i = 0, alike = 0; i < m; ++i) {
        alike = i > 0 && at[i] == at[i - 1] ? alike + 1 : 1;
        n = n * (i + 1) / alike;
      }
      to[f] = T(n);
      int i = m - 1;
      while (i >= 0 && at[i] == width_ - 1) --i;
      int const next = i >= 0 ? at[i] + 1 : 0;
      for (; i >= 0 && i < m; ++i) at[i] = next;
    }
  }

 private:
  int width_ = 0;
  Index counts_[max_degree + 1] = {};
  Index const* first_[max_degree + 1] = {};
};

/// Tokens in lanes: a row for each monomial, so many packs of tokens wide.
inline constexpr int columns = host::query_packs;

/// Monomials `begin` to `end` of degree m >= 2 -> to, from the variables x and all monomials of degree m - 1, `below`.
template <class P>
void expand(Monomials const& of, int m, Index begin, Index end, RealOf<P> const* x, RealOf<P> const* below,
            RealOf<P>* to) {
  constexpr int W = P::width, lanes = columns * W;
  of.for_runs(m, begin, end, [&](int a, Index f, Index last, Index from) {
    P x_a[columns];
    for (int c = 0; c < columns; ++c) x_a[c] = P::load(x + a * lanes + c * W);
    auto const* at = below + from * lanes;
    auto* result = to + (f - begin) * lanes;
    for (; f < last; ++f, at += lanes, result += lanes) {
#pragma GCC unroll 8
      for (int c = 0; c < columns; ++c) (x_a[c] * P::load(at + c * W)).store(result + c * W);
    }
  });
}

/// The way back, added: forward: f = x_a g; hence d_x_a += d_f g and d_g += d_f x_a. `d` holds the gradients of the
/// monomials from `begin` on; d_below may be d_x.
template <class P>
void pull_back(Monomials const& of, int m, Index begin, Index end, RealOf<P> const* x, RealOf<P> const* below,
               RealOf<P> const* d, RealOf<P>* d_below, RealOf<P>* d_x) {
  constexpr int W = P::width, lanes = columns * W;
  of.for_runs(m, begin, end, [&](int a, Index f, Index last, Index from) {
    typename P::Vector x_a[columns], sum[columns];
    for (int c = 0; c < columns; ++c) {
      x_a[c] = P::load(x + a * lanes + c * W).lanes;
      sum[c] = P(RealOf<P>(0)).lanes;
    }
    auto const* g = below + from * lanes;
    auto const* d_f = d + (f - begin) * lanes;
    auto* d_g = d_below + from * lanes;
    for (; f < last; ++f, g += lanes, d_f += lanes, d_g += lanes) {
#pragma GCC unroll 8
      for (int c = 0; c < columns; ++c) {
        auto const pull = P::load(d_f + c * W).lanes;
        sum[c] += pull * P::load(g + c * W).lanes;
        P(P::load(d_g + c * W).lanes + pull * x_a[c]).store(d_g + c * W);
      }
    }
    for (int c = 0; c < columns; ++c) {
      auto* const to = d_x + a * lanes + c * W;
      P(P::load(to).lanes + sum[c]).store(to);
    }
  });
}

}  // namespace attn::detail::linear
