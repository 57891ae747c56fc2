/// Random numbers of the distributions that augmentation needs, drawn by counter: the same key, the same numbers.
#pragma once

#include "attn/core/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace attn::data {

/// The numbers of one key, one after the other: each call takes the next.
class Draws {
 public:
  explicit Draws(RandomKey key) : uniform_key_(subkey(key, 0)), normal_key_(subkey(key, 1)) {}

  /// In [0, 1).
  double uniform() { return attn::uniform<double>(uniform_key_, uniforms_++); }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal() { return attn::normal<double>(normal_key_, normals_++); }
  bool bernoulli(double probability) { return uniform() < probability; }

  /// One of 0, 1, ..., n - 1, n below 2^32.
  std::int64_t integer(std::int64_t n) {
    return std::min(n - 1, static_cast<std::int64_t>(uniform() * static_cast<double>(n)));
  }

 private:
  RandomKey uniform_key_;
  RandomKey normal_key_;
  std::uint64_t uniforms_ = 0;
  std::uint64_t normals_ = 0;
};

/// The logarithm of a number of the Gamma distribution with shape `alpha` and scale 1 (Marsaglia and Tsang 2000, by
/// rejection; below 1 from the shape alpha + 1 times U^(1/alpha)). The logarithm, because small shapes give numbers
/// that underflow.
inline double log_gamma_variate(Draws& draws, double alpha) {
  double const boost = alpha < 1 ? std::log1p(-draws.uniform()) / alpha : 0;
  double const d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3.0;
  double const c = 1 / std::sqrt(9 * d);
  while (true) {
    double const x = draws.normal();
    double const root = 1 + c * x;
    double const log_u = std::log1p(-draws.uniform());
    if (root <= 0) continue;
    double const v = root * root * root;
    if (log_u < 0.5 * x * x + d * (1 - v + std::log(v))) return std::log(d * v) + boost;
  }
}

/// A number of the Beta distribution: X / (X + Y) with Gamma numbers X of shape `alpha` and Y of shape `beta`.
inline double beta_variate(Draws& draws, double alpha, double beta) {
  double const log_x = log_gamma_variate(draws, alpha);
  double const log_y = log_gamma_variate(draws, beta);
  return 1 / (1 + std::exp(log_y - log_x));
}

/// Puts 0, 1, ..., n - 1 in random order, every order equally likely (Fisher and Yates).
template <class Indices>
void shuffle(RandomKey key, Indices& indices) {
  Draws draws(key);
  std::int64_t const n = static_cast<std::int64_t>(indices.size());
  for (std::int64_t i = 0; i < n; ++i) indices[std::size_t(i)] = static_cast<typename Indices::value_type>(i);
  for (std::int64_t i = n - 1; i > 0; --i)
    std::swap(indices[std::size_t(i)], indices[std::size_t(draws.integer(i + 1))]);
}

}  // namespace attn::data
