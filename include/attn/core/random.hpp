/// Random numbers by counter: a value is a function of (seed, stream, index), so it is the same on one thread, on many
/// threads and on a GPU, and a resumed run draws what an uninterrupted one would have drawn.
#pragma once

#include "attn/core/scalar.hpp"

#include <cstdint>
#include <string_view>

namespace attn {

/// Names a sequence of random numbers. Derive one for each use with `subkey`, and never draw from one key for two uses.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
};

namespace detail {

/// A bijection on 64 bits whose outputs pass statistical tests for counting inputs (the finaliser of SplitMix64,
/// Steele, Lea and Flood 2014).
ATTN_FUNCTION constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

inline constexpr std::uint64_t golden_gamma = 0x9e3779b97f4a7c15ULL;

/// The two multipliers of a bijection on 32 bits (Wellons 2018, found by a search for the least bias), and a step.
inline constexpr std::uint32_t multiplier1 = 0x7feb352dU, multiplier2 = 0x846ca68bU, golden_gamma32 = 0x9e3779b9U;

}  // namespace detail

/// The key of one use below another: `subkey(subkey(key, step), layer)`.
ATTN_FUNCTION constexpr RandomKey subkey(RandomKey key, std::uint64_t use) {
  return {key.seed, detail::mix(key.stream + detail::golden_gamma * (use + 1)) ^ detail::golden_gamma};
}

/// The key of a named use, such as a parameter's initial values.
constexpr RandomKey subkey(RandomKey key, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  for (char const c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return subkey(key, hash);
}

/// 64 random bits, number `index` of the sequence.
ATTN_FUNCTION constexpr std::uint64_t random_bits64(RandomKey key, std::uint64_t index) {
  std::uint64_t const a = detail::mix(key.seed + detail::golden_gamma) + key.stream;
  return detail::mix(detail::mix(a + detail::golden_gamma * (index + 1)) ^ (key.stream * detail::golden_gamma));
}

/// 32 random bits, number `index` of the sequence.
ATTN_FUNCTION constexpr std::uint32_t random_bits(RandomKey key, std::uint64_t index) {
  return static_cast<std::uint32_t>(random_bits64(key, index) >> 32);
}

namespace detail {

/// For each `turn` a bijection of x.
template <class Bits, class Turn>
ATTN_FUNCTION constexpr Bits mix32(Bits x, Turn turn) {
  x = (x ^ (x >> 16)) * multiplier1;
  x = (x ^ (x >> 15) ^ turn) * multiplier2;
  return x ^ (x >> 16);
}

}  // namespace detail

/// A row of words of 32 random bits, for kernels that draw for each pair of a row and a column: word n of row i of a
/// sequence is a function of all three. A word costs nine operations of 32 bits, two of which multiply, and a row ten.
/// Any of the numbers may be a vector of `Bits`: of several sequences, rows or words.
template <class Bits>
struct RandomRow {
  Bits start, turn;  ///< where its words start, and what turns apart those of rows that start nearby

  template <class Number>
  ATTN_FUNCTION constexpr auto word(Number n) const {
    return detail::mix32(start + n * detail::golden_gamma32, turn);
  }
};

/// Such rows.
template <class Bits = std::uint32_t>
struct RandomRows {
  Bits first, second;

  template <class Number>
  ATTN_FUNCTION constexpr auto row(Number i) const {
    auto start = detail::mix32(first + i * detail::golden_gamma32, std::uint32_t(0));
    return RandomRow<decltype(start)>{start, start ^ second};
  }
};

/// The rows of sequence `index` of a key.
ATTN_FUNCTION constexpr RandomRows<> random_rows(RandomKey key, std::uint64_t index) {
  std::uint64_t const bits = random_bits64(key, index);
  return {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
}

/// Uniform in [0, 1), number `index` of the sequence.
template <Real T>
ATTN_FUNCTION T uniform(RandomKey key, std::uint64_t index) {
  if constexpr (sizeof(T) == 4) {
    return static_cast<T>(random_bits64(key, index) >> 40) * T(0x1p-24);
  } else {
    return static_cast<T>(random_bits64(key, index) >> 11) * T(0x1p-53);
  }
}

/// Standard normal, number `index` of the sequence (Box and Muller 1958; one value of the pair is used).
template <Real T>
ATTN_FUNCTION T normal(RandomKey key, std::uint64_t index) {
  double const u = 1.0 - uniform<double>(key, 2 * index);  // in (0, 1]
  double const angle = 6.283185307179586 * uniform<double>(key, 2 * index + 1);
  return static_cast<T>(Kokkos::sqrt(-2.0 * Kokkos::log(u)) * Kokkos::cos(angle));
}

}  // namespace attn
