#include "attn/core/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace {

using attn::RandomKey;
using attn::subkey;

TEST(RandomBits, AreAFunctionOfSeedStreamAndIndex) {
  RandomKey const key{.seed = 1, .stream = 2};
  EXPECT_EQ(attn::random_bits64(key, 5), attn::random_bits64(key, 5));
  std::set<std::uint64_t> const different = {
      attn::random_bits64(key, 5), attn::random_bits64(key, 6), attn::random_bits64({.seed = 2, .stream = 2}, 5),
      attn::random_bits64({.seed = 1, .stream = 3}, 5), attn::random_bits64({.seed = 2, .stream = 1}, 5)};
  EXPECT_EQ(different.size(), 5u);
}

TEST(RandomBits, DoNotRepeatInAMillionDrawsFromNeighbouringKeys) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t i = 0; i < 20'000; ++i) seen.insert(attn::random_bits64(subkey({.seed = seed}, seed), i));
  }
  EXPECT_EQ(seen.size(), 200'000u);
}

TEST(RandomBits, AreSetHalfOfTheTimeAtEveryPosition) {
  constexpr int n = 100'000;
  for (RandomKey const key : {RandomKey{}, subkey(RandomKey{.seed = 1}, 0), subkey(RandomKey{.seed = 1}, "name")}) {
    int count[64] = {};
    for (std::uint64_t i = 0; i < n; ++i) {
      std::uint64_t const bits = attn::random_bits64(key, i);
      for (int b = 0; b < 64; ++b) count[b] += int(bits >> b & 1);
    }
    for (int b = 0; b < 64; ++b) EXPECT_NEAR(count[b], n / 2, 5 * std::sqrt(n) / 2) << "bit " << b;
  }
}

TEST(RandomRows, HaveWordsThatDifferByKeySequenceRowAndNumber) {
  std::set<std::uint32_t> words;
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    for (std::uint64_t sequence = 0; sequence < 4; ++sequence) {
      auto const rows = attn::random_rows({.seed = seed}, sequence);
      for (std::uint32_t i = 0; i < 16; ++i) {
        for (std::uint32_t n = 0; n < 16; ++n) words.insert(rows.row(i).word(n));
      }
    }
  }
  EXPECT_GE(words.size(), 2045u) << "two of 2048 draws are the same once in two thousand times";
}

// Each bit of a word is set half of the time, and no bit goes with one of its neighbours': of the next word, row or
// sequence, or the word 8 before in the next row, as rows that start nearby would have it.
TEST(RandomRows, HaveBitsThatGoWithNoNeighbours) {
  constexpr std::uint32_t n_rows = 128, n_words = 256;
  double const deviation = std::sqrt(double(n_rows * n_words)) / 2, half = n_rows * n_words / 2.0;
  auto const rows = attn::random_rows({.seed = 5}, 1), others = attn::random_rows({.seed = 5}, 2);
  int set[32] = {}, word[32] = {}, row[32] = {}, sequence[32] = {}, shifted[32] = {}, bit[32] = {};
  for (std::uint32_t i = 0; i < n_rows; ++i) {
    for (std::uint32_t n = 0; n < n_words; ++n) {
      std::uint32_t const x = rows.row(i).word(n);
      auto const count = [&](int(&to)[32], std::uint32_t y) {
        for (int b = 0; b < 32; ++b) to[b] += int(y >> b & 1U);
      };
      count(set, x);
      count(word, x ^ rows.row(i).word(n + 1));
      count(row, x ^ rows.row(i + 1).word(n));
      count(sequence, x ^ others.row(i).word(n));
      count(shifted, x ^ rows.row(i + 1).word(n - 8));
      count(bit, x ^ (x << 16 | x >> 16));
    }
  }
  for (int b = 0; b < 32; ++b) {
    for (int const* const counted : {set, word, row, sequence, shifted, bit}) {
      EXPECT_NEAR(counted[b], half, 5 * deviation) << "bit " << b;
    }
  }
}

TEST(Subkeys, DifferByUseAndByName) {
  RandomKey const key{.seed = 9};
  std::set<std::uint64_t> streams = {key.stream};
  for (std::uint64_t use = 0; use < 1000; ++use) streams.insert(subkey(key, use).stream);
  for (char const* name : {"", "a", "b", "ab", "ba"}) streams.insert(subkey(key, std::string_view(name)).stream);
  EXPECT_EQ(streams.size(), 1006u);
  EXPECT_EQ(subkey(key, "weight").stream, subkey(key, std::string_view("weight")).stream);
  EXPECT_EQ(subkey(key, "weight").seed, key.seed);
}

template <class T>
void expect_uniform() {
  constexpr int n = 200'000;
  double sum = 0, squares = 0;
  T low = 1, high = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    T const u = attn::uniform<T>({.seed = 3}, i);
    ASSERT_GE(u, T(0));
    ASSERT_LT(u, T(1));
    low = std::min(low, u);
    high = std::max(high, u);
    sum += u;
    squares += double(u) * double(u);
  }
  EXPECT_NEAR(sum / n, 0.5, 5 / std::sqrt(12.0 * n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 0.005);
  EXPECT_LT(low, 1e-4);
  EXPECT_GT(high, 1 - 1e-4);
}

TEST(Uniform, FillsTheIntervalEvenly) {
  expect_uniform<float>();
  expect_uniform<double>();
}

TEST(Normal, HasTheMomentsOfANormalDistribution) {
  constexpr int n = 200'000;
  double moment[5] = {};
  for (std::uint64_t i = 0; i < n; ++i) {
    double const x = attn::normal<double>({.seed = 4}, i);
    ASSERT_TRUE(std::isfinite(x));
    double power = 1;
    for (double& m : moment) {
      m += power / n;
      power *= x;
    }
  }
  EXPECT_NEAR(moment[1], 0, 0.012);
  EXPECT_NEAR(moment[2], 1, 0.02);
  EXPECT_NEAR(moment[3], 0, 0.05);
  EXPECT_NEAR(moment[4], 3, 0.12);
}

TEST(Normal, NeighboursAreUncorrelated) {
  constexpr int n = 200'000;
  double product = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    product += attn::normal<double>({.seed = 4}, i) * attn::normal<double>({.seed = 4}, i + 1);
  }
  EXPECT_NEAR(product / n, 0, 0.012);
}

}  // namespace
