/// What a residual is written with: derivatives of the network's outputs, `d<1, 0>(u)` and `along(u, beta, 1)`, and the
/// coordinates.
#pragma once

#include "attn/core/jet.hpp"

#include <array>
#include <bitset>
#include <type_traits>
#include <utility>

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

/// The coefficients of the first derivatives, by coordinate.
template <int... N>
constexpr std::array<int, sizeof...(N)> first_derivatives(Orders<N...> orders) {
  return [&]<std::size_t... D>(std::index_sequence<D...>) { return std::array{first_derivative_of<int(D)>(orders)...}; }
  (std::make_index_sequence<sizeof...(N)>());
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
  ATTN_FUNCTION S derivative_along(double const (&direction)[sizeof...(N)], int output) const {
    static_assert(
        ((N > 0) && ...),
        "pde::along: the residual asks for a derivative that its jets do not carry: raise the problem's Orders");
    return sum_along(direction, output, std::make_index_sequence<sizeof...(N)>());
  }
  ATTN_FUNCTION S coordinate(int which) const { return S(coordinates_[which]); }
  ATTN_FUNCTION S data(int column) const { return S(data_[column]); }

 private:
  template <std::size_t... D>
  ATTN_FUNCTION S sum_along(double const* direction, int output, std::index_sequence<D...>) const {
    S sum = S(RealOf<S>(0));
    (((direction[D] != 0)
          ? void(sum += coefficients_[output * size + detail::first_derivative_of<int(D)>(Orders<N...>{})] *
                        S(RealOf<S>(direction[D])))
          : void()),
     ...);
    return sum;
  }

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
  static constexpr int coordinates = sizeof...(N);
  using Used = std::bitset<std::size_t(size)>;
  struct Noted {
    bool derivatives[size] = {};
    double direction[coordinates] = {};  ///< the last one
    int directions = 0;                  ///< changes of it
  };

  ATTN_FUNCTION explicit Probe(Noted& noted) : noted_(&noted) {}

  template <int... I>
  ATTN_FUNCTION double derivative(int) const {
    noted_->derivatives[detail::coefficient_of<I...>(Orders<N...>{})] = true;
    return 1;
  }
  ATTN_FUNCTION double derivative_along(double const (&direction)[coordinates], int) const {
    bool changes = noted_->directions == 0;
    for (int c = 0; c < coordinates; ++c) {
      changes = changes || direction[c] != noted_->direction[c];
      noted_->direction[c] = direction[c];
    }
    noted_->directions += changes ? 1 : 0;
    return 1;
  }
  ATTN_FUNCTION double coordinate(int) const { return 1; }
  ATTN_FUNCTION double data(int) const { return 1; }

 private:
  Noted* noted_;
};

/// The derivative of order I in coordinate 0, ..., of one of the network's outputs: `d<0, 1>(u)` is u_t of u(x, t), and
/// `d<0, 0>(u)` is u.
template <int... I, class U>
ATTN_FUNCTION auto d(U const& u, int output = 0) {
  return u.template derivative<I...>(output);
}

/// The derivative along a direction that is the same everywhere: `along(u, beta, 1)` is beta u_x + u_t of u(x, t).
/// Where a residual asks for one direction and nothing else but the value, the jets carry one coefficient for it, not
/// one for each coordinate.
template <int Output = 0, class U, class... S>
ATTN_FUNCTION auto along(U const& u, S... direction) {
  static_assert(
      (std::is_arithmetic_v<S> && ...),
      "pde::along: give the direction as numbers, one for each coordinate; where it depends on the point or on "
      "the solution, write the sum of d<1, 0>(u), d<0, 1>(u), ...");
  double const components[] = {double(direction)...};
  return u.derivative_along(components, Output);
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
