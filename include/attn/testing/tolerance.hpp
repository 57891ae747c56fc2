/// How far a result may be from another way of computing it: a function of the scalar and of how much was added up.
#pragma once

#include "attn/core/scalar.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attn::testing {

/// The error that `length` additions and multiplications in `T` may leave, relative to the largest value involved: that
/// of a random walk of roundings, with a margin of 8.
template <class T>
double tolerance(double length = 1) {
  constexpr double rounding = std::numeric_limits<RealOf<T>>::epsilon() / 2;
  return 8 * rounding * std::sqrt(std::max(length, 1.0));
}

}  // namespace attn::testing
