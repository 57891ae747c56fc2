/// Initial values of parameters: distributions as values, drawn by (seed, name, index).
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/concepts.hpp"
#include "attn/core/random.hpp"

#include <cmath>

namespace attn::nn {

/// A distribution that a parameter starts from. Make one with the functions below: `normal(0.02)`, `zeros()`.
struct Initializer {
  enum class Kind { constant, uniform, normal };
  Kind kind = Kind::constant;
  double center = 0;                  // the constant, or the mean
  double spread = 0;                  // half the width of the interval, or the standard deviation
  double low = -1e300, high = 1e300;  // values outside are drawn again
};

/// One value everywhere.
inline Initializer constant(double value) { return {.center = value}; }
/// Zero everywhere.
inline Initializer zeros() { return constant(0); }
/// One everywhere.
inline Initializer ones() { return constant(1); }

/// Uniform in [-bound, bound).
inline Initializer uniform(double bound) { return {.kind = Initializer::Kind::uniform, .spread = bound}; }

/// A normal distribution around zero.
inline Initializer normal(double deviation) { return {.kind = Initializer::Kind::normal, .spread = deviation}; }

/// A normal distribution, redrawn outside [low, high] (absolute bounds, not multiples of the deviation).
inline Initializer truncated_normal(double deviation, double low = -2, double high = 2) {
  ATTN_CHECK(low < 0 && high > 0, "truncated_normal: give bounds on both sides of zero, got ", low, " and ", high);
  return {.kind = Initializer::Kind::normal, .spread = deviation, .low = low, .high = high};
}

/// Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).
inline Initializer xavier_uniform(Index fan_in, Index fan_out) {
  return uniform(std::sqrt(6.0 / static_cast<double>(fan_in + fan_out)));
}

/// Uniform in +-1/sqrt(fan_in): what convolutions and linear layers of the common frameworks start from (He et al.
/// 2015 with a slope of sqrt 5), weights and biases alike.
inline Initializer fan_in_uniform(Index fan_in) { return uniform(1.0 / std::sqrt(static_cast<double>(fan_in))); }

/// Value number `index` of a parameter whose key is `key`.
inline double draw(Initializer const& initializer, RandomKey key, std::uint64_t index) {
  switch (initializer.kind) {
    case Initializer::Kind::constant:
      return initializer.center;
    case Initializer::Kind::uniform:
      return initializer.center + initializer.spread * (2 * attn::uniform<double>(key, index) - 1);
    case Initializer::Kind::normal:
      break;
  }
  double value = initializer.center + initializer.spread * attn::normal<double>(key, index);
  for (std::uint64_t attempt = 1; value < initializer.low || value > initializer.high; ++attempt) {
    value = initializer.center + initializer.spread * attn::normal<double>(subkey(key, attempt), index);
  }
  return value;
}

}  // namespace attn::nn
