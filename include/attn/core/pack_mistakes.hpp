/// What a pack of scores cannot do, met by a sentence that says what to write: comparing, mixing types, calling the
/// functions of the standard library.
#pragma once

#include "attn/core/pack_type.hpp"

namespace attn {

namespace detail {

/// False, and known only when a template is used.
template <class...>
inline constexpr bool never = false;

template <class Other>
bool compared() {
  static_assert(
      never<Other>,
      "a comparison of scores: write attn::where_greater(a, b, if_greater, otherwise), attn::max or attn::min, "
      "for a pack holds several scores, and no branch is right for all of them");
  return false;
}

template <class Number, class P>
P mixed(P a) {
  static_assert(never<Number>,
                "a score and a number of another type: write T(0.5) for 0.5, where T is the type of the "
                "score");
  return a;
}

}  // namespace detail

/// A number that does not become a pack of `T` by itself, since it may have to be rounded.
template <class Number, class T>
concept OfAnotherType = std::is_arithmetic_v<Number> && !std::same_as<Number, T>;

template <class T, int W, class Other>
bool operator>(Pack<T, W>, Other const&) {
  return detail::compared<Other>();
}
template <class T, int W, class Other>
bool operator<(Pack<T, W>, Other const&) {
  return detail::compared<Other>();
}
template <class T, int W, class Other>
bool operator>=(Pack<T, W>, Other const&) {
  return detail::compared<Other>();
}
template <class T, int W, class Other>
bool operator<=(Pack<T, W>, Other const&) {
  return detail::compared<Other>();
}
template <class T, int W, class Other>
bool operator==(Pack<T, W>, Other const&) {
  return detail::compared<Other>();
}

template <class Number, class T, int W>
requires std::is_arithmetic_v<Number>
bool operator>(Number, Pack<T, W>) { return detail::compared<Number>(); }
template <class Number, class T, int W>
requires std::is_arithmetic_v<Number>
bool operator<(Number, Pack<T, W>) { return detail::compared<Number>(); }
template <class Number, class T, int W>
requires std::is_arithmetic_v<Number>
bool operator>=(Number, Pack<T, W>) { return detail::compared<Number>(); }
template <class Number, class T, int W>
requires std::is_arithmetic_v<Number>
bool operator<=(Number, Pack<T, W>) { return detail::compared<Number>(); }
template <class Number, class T, int W>
requires std::is_arithmetic_v<Number>
bool operator==(Number, Pack<T, W>) { return detail::compared<Number>(); }

template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator+(Pack<T, W> a, Number) {
  return detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator+(Number, Pack<T, W> a) {
  return detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator-(Pack<T, W> a, Number) {
  return detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator-(Number, Pack<T, W> a) {
  return detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator*(Pack<T, W> a, Number) {
  return detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator*(Number, Pack<T, W> a) {
  return detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator/(Pack<T, W> a, Number) {
  return detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W> operator/(Number, Pack<T, W> a) {
  return detail::mixed<Number>(a);
}

template <class T, int W, OfAnotherType<T> Number>
Pack<T, W>& operator+=(Pack<T, W>& a, Number) {
  return a = detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W>& operator-=(Pack<T, W>& a, Number) {
  return a = detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W>& operator*=(Pack<T, W>& a, Number) {
  return a = detail::mixed<Number>(a);
}
template <class T, int W, OfAnotherType<T> Number>
Pack<T, W>& operator/=(Pack<T, W>& a, Number) {
  return a = detail::mixed<Number>(a);
}

template <class T, int W, class Number>
requires std::is_arithmetic_v<Number> Pack<T, W> max(Pack<T, W> a, Number) { return detail::mixed<Number>(a); }
template <class T, int W, class Number>
requires std::is_arithmetic_v<Number> Pack<T, W> max(Number, Pack<T, W> a) { return detail::mixed<Number>(a); }
template <class T, int W, class Number>
requires std::is_arithmetic_v<Number> Pack<T, W> min(Pack<T, W> a, Number) { return detail::mixed<Number>(a); }
template <class T, int W, class Number>
requires std::is_arithmetic_v<Number> Pack<T, W> min(Number, Pack<T, W> a) { return detail::mixed<Number>(a); }

}  // namespace attn

// The standard library is not for others to extend. Here nothing is added that a program could call: each of these
// only says what to write, where no function of that name fits.
namespace std {

template <class T, int W>
attn::Pack<T, W> exp(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::exp of scores: write attn::exp");
  return a;
}
template <class T, int W>
attn::Pack<T, W> log(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::log of scores: write attn::log");
  return a;
}
template <class T, int W>
attn::Pack<T, W> sqrt(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::sqrt of scores: write attn::sqrt");
  return a;
}
template <class T, int W>
attn::Pack<T, W> abs(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::abs of scores: write attn::abs");
  return a;
}
template <class T, int W>
attn::Pack<T, W> tanh(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::tanh of scores: write attn::tanh");
  return a;
}
template <class T, int W>
attn::Pack<T, W> sin(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::sin of scores: write attn::sin");
  return a;
}
template <class T, int W>
attn::Pack<T, W> cos(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::cos of scores: write attn::cos");
  return a;
}
template <class T, int W>
attn::Pack<T, W> erf(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::erf of scores: write attn::erf");
  return a;
}
template <class T, int W>
attn::Pack<T, W> fabs(attn::Pack<T, W> a) {
  static_assert(attn::detail::never<T>, "std::fabs of scores: write attn::abs");
  return a;
}
template <class T, int W, class Power>
attn::Pack<T, W> pow(attn::Pack<T, W> a, Power) {
  static_assert(attn::detail::never<T>,
                "std::pow of scores: write attn::power<3>(a), or attn::exp(T(p) * attn::log(a))");
  return a;
}

}  // namespace std
