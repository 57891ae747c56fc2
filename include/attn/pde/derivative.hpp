/// What a residual is written with: derivatives of the network's outputs, `d<1, 0>(u)`, and the coordinates.
#pragma once

#include "attn/core/jet.hpp"

#include <bitset>
#include <concepts>

namespace attn::pde {

/// The highest order of the derivatives in each coordinate that a problem's jets carry: `Orders<2, 1>`.
template <int... N>
struct Orders {
  static constexpr int coordinates = sizeof...(N);
  template <class R>
  using Jet = attn::Jet<R, N...>;
};

namespace detail {

template <int... I>
constexpr int factorials() {
  [[maybe_unused]] auto const factorial = [](int n) {
    int f = 1;
    for (; n > 1; --n) f *= n;
    return f;
  };
  return (factorial(I) * ... * 1);
}

/// The coefficient of the derivative I... in jets of the orders N..., or a sentence.
template <int... I, int... N>
constexpr int coefficient_of(Orders<N...>) {
  static_assert(sizeof...(I) == sizeof...(N),
                "pde::d: give one order of differentiation for each coordinate, as in d<1, 0>(u) for u(x, t)");
  if constexpr (sizeof...(I) == sizeof...(N)) {
    static_assert(((I >= 0 && I <= N) && ...),
                  "pde::d: the residual asks for a derivative that its jets do not carry: raise the problem's Orders");
    if constexpr (((I >= 0 && I <= N) && ...)) return attn::detail::JetLayout<N...>::index({I...});
  }
  return 0;
}

/// The d-th unit of `coordinates` numbers is the derivative by coordinate d.
template <int Direction, int... N>
constexpr int first_derivative_of(Orders<N...>) {
  std::array<int, sizeof...(N)> powers{};
  powers[std::size_t(Direction)] = 1;
  return attn::detail::JetLayout<N...>::index(powers);
}

}  // namespace detail

/// The solution at one point, as a residual sees it: derivatives of each output, coordinates, and data of the point.
/// `derivatives` (outputs, coefficients) holds Taylor coefficients; `S` is the scalar that the residual computes with.
template <class S, class Ord>
class Solution;
template <class S, int... N>
class Solution<S, Orders<N...>> {
 public:
  static constexpr int size = attn::detail::JetLayout<N...>::size;

  ATTN_FUNCTION Solution(S const* coefficients, RealOf<S> const* coordinates, RealOf<S> const* data)
      : coefficients_(coefficients), coordinates_(coordinates), data_(data) {}

  template <int... I>
  ATTN_FUNCTION S derivative(int output) const {
    constexpr int c = detail::coefficient_of<I...>(Orders<N...>{});
    return coefficients_[output * size + c] * S(RealOf<S>(detail::factorials<I...>()));
  }
  ATTN_FUNCTION S coordinate(int which) const { return S(coordinates_[which]); }
  ATTN_FUNCTION S data(int column) const { return S(data_[column]); }

 private:
  S const* coefficients_;
  RealOf<S> const* coordinates_;
  RealOf<S> const* data_;
};

/// Notes which derivatives a residual asks for. All numbers are one.
template <class Ord>
class Probe;
template <int... N>
class Probe<Orders<N...>> {
 public:
  static constexpr int size = attn::detail::JetLayout<N...>::size;
  using Used = std::bitset<std::size_t(size)>;

  /// `noted` has `size` elements.
  ATTN_FUNCTION explicit Probe(bool* noted) : noted_(noted) {}

  template <int... I>
  ATTN_FUNCTION double derivative(int) const {
    noted_[detail::coefficient_of<I...>(Orders<N...>{})] = true;
    return 1;
  }
  ATTN_FUNCTION double coordinate(int) const { return 1; }
  ATTN_FUNCTION double data(int) const { return 1; }

 private:
  bool* noted_;
};

/// The derivative of order I in coordinate 0, ..., of one of the network's outputs: `d<0, 1>(u)` is u_t of u(x, t), and
/// `d<0, 0>(u)` is u.
template <int... I, class U>
ATTN_FUNCTION auto d(U const& u, int output = 0) {
  return u.template derivative<I...>(output);
}

/// The coordinate of the point: `coordinate(u, 0)` is x of u(x, t).
template <class U>
ATTN_FUNCTION auto coordinate(U const& u, int which) {
  return u.coordinate(which);
}

/// A number that was measured at the point; see `Points::data`.
template <class U>
ATTN_FUNCTION auto data(U const& u, int column) {
  return u.data(column);
}

}  // namespace attn::pde
