/// Functions of jets on a host, by what a tensor of them keeps: a stream function whose third derivatives are wanted
/// keeps 13 of the 32 coefficients of `Jet<T, 3, 3, 1>`, and 45 products of two of these are wanted out of 300.
#pragma once

#include "attn/core/jet_tensor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <ranges>

namespace attn::nn::detail {

/// The planes of a tensor of jets (of reals: the tensor), where a kernel finds them without arithmetic.
template <class T>
struct PlaneTable {
  using Element = RealOf<T>;
  static constexpr int size = 1;
  Element* at[1];
  explicit PlaneTable(Element const* p) : at{const_cast<Element*>(p)} {}
};
template <class T, int... Orders>
struct PlaneTable<Jet<T, Orders...>> {
  static constexpr int size = Jet<T, Orders...>::size;
  T* at[size];
  template <class J>
  explicit PlaneTable(JetPointer<J> const& p) {
    for (int c = 0; c < size; ++c) at[c] = const_cast<T*>(p.plane(c));
  }
};

/// The powers of x without its value, u = x - x_0, in the coefficients that a tensor keeps. All above `degree` are
/// zero, so f(x) = sum_k f^(k)(x_0) / k! u^k ends there. Of reals: degree 0.
template <class T>
class KeptPowers {
 public:
  static constexpr int size = 1, max_degree = 0;
  static constexpr int degree() { return 0; }
  static constexpr std::array<int, 0> kept() { return {}; }
  explicit KeptPowers(NoPlanes) {}
};
template <class T, int... Orders>
class KeptPowers<Jet<T, Orders...>> {
  using Layout = typename Jet<T, Orders...>::Layout;

 public:
  static constexpr int size = Layout::size, max_degree = Layout::degree;

  explicit KeptPowers(JetPlanes<Jet<T, Orders...>> const& planes) {
    auto const is_kept = [&](int c) { return c > 0 && planes[c] >= 0; };
    for (int c = 1; c < size; ++c) {
      if (!is_kept(c)) continue;
      kept_[std::size_t(n_kept_++)] = c;
      int sum = 0;
      for (int d = 0; d < Layout::directions; ++d) sum += Layout::digit(c, d);
      degree_ = std::max(degree_, sum);
      for (int i = 1; i < c; ++i) {
        if (is_kept(i) && is_kept(c - i) && Layout::survives(i, c - i)) pairs_[std::size_t(n_pairs_++)] = {i, c - i, c};
      }
    }
  }

  int degree() const { return degree_; }
  /// The coefficients but for the value.
  auto kept() const { return std::ranges::subrange(kept_.begin(), kept_.begin() + n_kept_); }

  /// powers[1] is u; fills in the next ones. Powers have no value.
  template <class P>
  void raise(P (&powers)[max_degree + 1][size]) const {
    for (int k = 2; k <= degree_; ++k) {
      for (int const c : kept()) powers[k][c] = P(RealOf<P>(0));
      for (int p = 0; p < n_pairs_; ++p) {
        Pair const& pair = pairs_[std::size_t(p)];
        powers[k][pair.product] += powers[1][pair.left] * powers[k - 1][pair.right];
      }
    }
  }
  /// forward: y = slope x; hence d_x_j += sum_i slope_i d_y_(i + j), but for the terms of i = 0 and j = 0.
  template <class P>
  void pull(P const (&slope)[size], P const (&d_y)[size], P (&d_x)[size]) const {
    for (int p = 0; p < n_pairs_; ++p) {
      Pair const& pair = pairs_[std::size_t(p)];
      d_x[pair.right] += slope[pair.left] * d_y[pair.product];
    }
  }

 private:
  struct Pair {
    int left, right, product;
  };
  static constexpr int max_pairs = [] {
    int n = 0;
    for (int i = 1; i < size; ++i) {
      for (int j = 1; i + j < size; ++j) n += Layout::survives(i, j) ? 1 : 0;
    }
    return n;
  }();

  int n_kept_ = 0, n_pairs_ = 0, degree_ = 0;
  std::array<int, std::size_t(size)> kept_{};
  std::array<Pair, std::size_t(max_pairs)> pairs_{};
};

/// What `KeptPowers` needs to know of a tensor.
template <class X>
auto kept_planes(X const& x) {
  if constexpr (AnyJet<typename X::Scalar>) {
    return x.planes();
  } else {
    return NoPlanes();
  }
}

}  // namespace attn::nn::detail
