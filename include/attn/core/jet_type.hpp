/// Jet: a number that carries its derivatives.
///
/// `Jet<T, 1>` is a + b e with e^2 = 0: a value and one derivative. `Jet<T, 2, 1>` is a polynomial in two directions,
/// truncated above e_1^2 and above e_2^1. It is an element of the commutative algebra R[e_1, e_2] / (e_1^3, e_2^2), so
/// code that adds, multiplies and calls `attn::exp` computes derivatives of every carried order when it is given jets.
/// The coefficient of e_1^i e_2^j is the derivative of order (i, j) divided by i! j!.
#pragma once

#include "attn/core/scalar.hpp"

#include <array>
#include <cstddef>
#include <utility>

namespace attn {

namespace detail {

/// Where coefficients lie: the last direction varies fastest.
template <int... Orders>
struct JetLayout {
  static constexpr int directions = sizeof...(Orders);
  static constexpr int size = ((Orders + 1) * ... * 1);
  static constexpr int degree = (Orders + ... + 0);
  static constexpr std::array<int, sizeof...(Orders)> orders{Orders...};

  /// How far apart two powers of a direction lie.
  static constexpr int stride(int direction) {
    int n = 1;
    for (int d = direction + 1; d < directions; ++d) n *= orders[std::size_t(d)] + 1;
    return n;
  }
  static constexpr int digit(int index, int direction) {
    return index / stride(direction) % (orders[std::size_t(direction)] + 1);
  }
  static constexpr int index(std::array<int, sizeof...(Orders)> powers) {
    int i = 0;
    for (int d = 0; d < directions; ++d) i = i * (orders[std::size_t(d)] + 1) + powers[std::size_t(d)];
    return i;
  }
  /// Whether e^i e^j survives the truncation; if so, it is e^(i + j), since no digit carries.
  static constexpr bool survives(int i, int j) {
    for (int d = 0; d < directions; ++d) {
      if (digit(i, d) + digit(j, d) > orders[std::size_t(d)]) return false;
    }
    return true;
  }
};

}  // namespace detail

/// T: a real or a pack. Orders: the highest power kept in each direction. Cost of a product: one multiplication per
/// surviving pair of coefficients, 3 for `Jet<T, 1>`, 9 for `Jet<T, 1, 1>`.
template <class T, int... Orders>
struct Jet {
  using Layout = detail::JetLayout<Orders...>;
  static constexpr int size = Layout::size;

  T coefficients[size];

  Jet() = default;
  /// A constant.
  ATTN_FUNCTION constexpr Jet(T value) : coefficients{value} {
    for (int i = 1; i < size; ++i) coefficients[i] = T(0);
  }
  template <class Number>
  requires(std::is_arithmetic_v<Number> && !std::same_as<Number, T>) ATTN_FUNCTION
      constexpr explicit(!std::same_as<Number, RealOf<T>>) Jet(Number value)
      : Jet(T(value)) {}

  /// The variable of direction `Direction` at `value`: value + e.
  template <int Direction = 0>
  static ATTN_FUNCTION constexpr Jet variable(T value) {
    constexpr int at = [] {
      std::array<int, sizeof...(Orders)> powers{};
      powers[std::size_t(Direction)] = 1;
      return Layout::index(powers);
    }();
    Jet x(value);
    x.coefficients[at] = T(1);
    return x;
  }

  ATTN_FUNCTION constexpr T value() const { return coefficients[0]; }

  ATTN_FUNCTION constexpr Jet operator-() const {
    Jet r;
    for (int i = 0; i < size; ++i) r.coefficients[i] = -coefficients[i];
    return r;
  }
  ATTN_FUNCTION constexpr Jet& operator+=(Jet const& b) {
    for (int i = 0; i < size; ++i) coefficients[i] += b.coefficients[i];
    return *this;
  }
  ATTN_FUNCTION constexpr Jet& operator-=(Jet const& b) {
    for (int i = 0; i < size; ++i) coefficients[i] -= b.coefficients[i];
    return *this;
  }
  ATTN_FUNCTION constexpr Jet& operator*=(Jet const& b) { return *this = *this * b; }
  ATTN_FUNCTION constexpr Jet& operator/=(Jet const& b) { return *this = *this / b; }
  friend ATTN_FUNCTION constexpr Jet operator+(Jet a, Jet const& b) { return a += b; }
  friend ATTN_FUNCTION constexpr Jet operator-(Jet a, Jet const& b) { return a -= b; }
  friend ATTN_FUNCTION constexpr Jet operator*(Jet const& a, Jet const& b) {
    Jet r(T(0));
    if constexpr (size <= 9) {
      multiply_add(r, a, b, std::make_index_sequence<std::size_t(size * size)>());
    } else {
      multiply_add_in_loops(r, a, b);
    }
    return r;
  }
  friend ATTN_FUNCTION constexpr Jet operator*(Jet a, T b) {
    for (int i = 0; i < size; ++i) a.coefficients[i] = a.coefficients[i] * b;
    return a;
  }
  friend ATTN_FUNCTION constexpr Jet operator*(T a, Jet b) { return b * a; }
  friend ATTN_FUNCTION Jet operator/(Jet const& a, Jet const& b) { return a * reciprocal(b); }

  // With numbers of other types than T, as users write them: `1 - u`.
  template <class Number>
  requires std::is_arithmetic_v<Number>
  friend ATTN_FUNCTION constexpr Jet operator+(Jet a, Number b) {
    a.coefficients[0] += T(b);
    return a;
  }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  friend ATTN_FUNCTION constexpr Jet operator+(Number a, Jet b) { return b + a; }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  friend ATTN_FUNCTION constexpr Jet operator-(Jet a, Number b) {
    a.coefficients[0] -= T(b);
    return a;
  }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  friend ATTN_FUNCTION constexpr Jet operator-(Number a, Jet const& b) { return -b + a; }
  template <class Number>
  requires(std::is_arithmetic_v<Number> && !std::same_as<Number, T>) friend ATTN_FUNCTION constexpr Jet operator*(
      Jet const& a, Number b) {
    return a * T(b);
  }
  template <class Number>
  requires(std::is_arithmetic_v<Number> && !std::same_as<Number, T>) friend ATTN_FUNCTION constexpr Jet operator*(
      Number a, Jet const& b) {
    return b * T(a);
  }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  friend ATTN_FUNCTION constexpr Jet operator/(Jet const& a, Number b) { return a * (T(1) / T(b)); }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  friend ATTN_FUNCTION Jet operator/(Number a, Jet const& b) { return reciprocal(b) * T(a); }

 private:
  template <std::size_t... IJ>
  static ATTN_FUNCTION constexpr void multiply_add(Jet& r, Jet const& a, Jet const& b, std::index_sequence<IJ...>) {
    (
        [&] {
          constexpr int i = int(IJ) / size, j = int(IJ) % size;
          if constexpr (Layout::survives(i, j)) r.coefficients[i + j] += a.coefficients[i] * b.coefficients[j];
        }(),
        ...);
  }

  /// Products with hundreds of terms are not written out at every place that has one.
  static KOKKOS_FUNCTION void multiply_add_in_loops(Jet& r, Jet const& a, Jet const& b) {
    multiply_add_powers<0>(r.coefficients, a.coefficients, b.coefficients);
  }
  /// Two loops for each direction: whether a pair survives is never asked, which would take divisions.
  template <int Direction>
  static ATTN_FUNCTION void multiply_add_powers(T* r, T const* a, T const* b) {
    if constexpr (Direction == Layout::directions) {
      *r += *a * *b;
    } else {
      constexpr int order = Layout::orders[std::size_t(Direction)], stride = Layout::stride(Direction);
      for (int i = 0; i <= order; ++i) {
        for (int j = 0; i + j <= order; ++j) {
          multiply_add_powers<Direction + 1>(r + (i + j) * stride, a + i * stride, b + j * stride);
        }
      }
    }
  }

  static ATTN_FUNCTION Jet reciprocal(Jet const& b) {
    // 1 / (b + d) = sum_k (-1)^k d^k / b^(k + 1)
    T taylor[Layout::degree + 1];
    T const inverse = T(1) / b.value();
    taylor[0] = inverse;
    for (int k = 1; k <= Layout::degree; ++k) taylor[k] = -taylor[k - 1] * inverse;
    return compose(b, taylor);
  }

 public:
  /// f(a) from the Taylor coefficients f^(k)(a_0) / k! for k = 0 ... degree. The part of `a` above its value is
  /// nilpotent, so the series ends and is exact.
  static ATTN_FUNCTION constexpr Jet compose(Jet const& a, T const (&taylor)[Layout::degree + 1]) {
    Jet nilpotent = a;
    nilpotent.coefficients[0] = T(0);
    Jet r(taylor[Layout::degree]);
    for (int k = Layout::degree - 1; k >= 0; --k) r = r * nilpotent + Jet(taylor[k]);
    return r;
  }
};

template <class T, int... Orders>
struct RealOfTrait<Jet<T, Orders...>> {
  using type = RealOf<T>;
};

/// The gradient of a real number that computed with jets, from its gradient as a jet. Adjoints of jets are stored with
/// their coefficients reversed, which makes every backward formula exact as written; hence it is the top coefficient.
template <Real T>
ATTN_FUNCTION constexpr T real_gradient(T d) {
  return d;
}
/// The same of a jet.
template <class T, int... Orders>
ATTN_FUNCTION constexpr RealOf<T> real_gradient(Jet<T, Orders...> const& d) {
  return real_gradient(d.coefficients[Jet<T, Orders...>::size - 1]);
}

}  // namespace attn
