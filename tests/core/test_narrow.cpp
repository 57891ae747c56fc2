#include "attn/core/narrow.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace {

using attn::BFloat16;
using attn::Float16;

/// The nearest number of `bits` bits of mantissa (ties to even) and exponents from `lowest` on; computed in double.
double rounded(double x, int bits, int lowest) {
  if (x == 0 || !std::isfinite(x)) return x;
  int const exponent = std::max(std::ilogb(x), lowest);
  double const unit = std::ldexp(1.0, exponent - bits);
  return std::nearbyint(x / unit) * unit;
}

/// Numbers of all magnitudes that two bytes hold and beyond, ties among them.
std::vector<float> many() {
  std::vector<float> numbers = {0.0f,          -0.0f,    65504.0f, 65519.9f,
                                65520.0f,      65536.0f, 1e-8f,    5.9604645e-8f,
                                2.9802322e-8f, 1e30f,    -3e38f,   std::numeric_limits<float>::infinity()};
  for (int e = -30; e <= 20; ++e) {
    for (int m = 0; m < 64; ++m) numbers.push_back(std::ldexp(1.0f + static_cast<float>(m * 37 % 4096) / 4096.0f, e));
    numbers.push_back(-std::ldexp(1.0f + 1.0f / 2048, e));
    numbers.push_back(std::ldexp(1.0f + 3.0f / 2048, e));
    numbers.push_back(std::ldexp(1.0f + 1.0f / 256, e));
  }
  return numbers;
}

TEST(Narrow, RoundsToTheNearest) {
  for (float const x : many()) {
    double const half = rounded(x, 10, -14);
    EXPECT_EQ(double(float(Float16(x))), std::abs(half) > 65504 ? std::copysign(INFINITY, x) : half) << x;
    EXPECT_EQ(std::signbit(float(Float16(x))), std::signbit(x));
    double const brain = rounded(x, 7, -126);
    EXPECT_EQ(double(float(BFloat16(x))), std::abs(brain) > 3.39e38 ? std::copysign(INFINITY, x) : brain) << x;
  }
}

/// The value of a binary16 from its definition, in double.
double half(unsigned bits) {
  double const sign = (bits & 0x8000u) != 0 ? -1 : 1;
  int const exponent = static_cast<int>(bits >> 10 & 31u);
  double const mantissa = bits & 1023u;
  if (exponent == 31) return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

TEST(Narrow, WidensEveryFloat16Exactly) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    double const expected = half(bits);
    float const found = float(std::bit_cast<Float16>(static_cast<std::uint16_t>(bits)));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(found)) << bits;
    } else {
      EXPECT_EQ(static_cast<double>(found), expected) << bits;
      EXPECT_EQ(std::signbit(found), std::signbit(expected)) << bits;
    }
  }
}

TEST(Narrow, BFloat16IsTheUpperHalfOfAFloat) {
  auto const value = [](std::uint16_t bits) { return float(std::bit_cast<BFloat16>(bits)); };
  EXPECT_EQ(value(0x3f80), 1.0f);
  EXPECT_EQ(value(0xc049), -3.140625f);
  EXPECT_TRUE(std::isinf(value(0x7f80)));
  EXPECT_TRUE(std::isnan(value(0x7fc0)));
}

TEST(Narrow, KeepsEveryNaN) {
  for (std::uint32_t const bits : {0x7f800001u, 0x7fc00000u, 0x7fff8000u, 0x7fffffffu}) {
    for (std::uint32_t const sign : {0u, 0x80000000u}) {
      EXPECT_TRUE(std::isnan(float(Float16(std::bit_cast<float>(bits | sign))))) << bits;
      EXPECT_TRUE(std::isnan(float(BFloat16(std::bit_cast<float>(bits | sign))))) << bits;
    }
  }
}

template <class Narrow>
void expect_all_kept() {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    auto const n = std::bit_cast<Narrow>(static_cast<std::uint16_t>(bits));
    float const wide = float(n);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(float(Narrow(wide)))) << bits;
    } else {
      EXPECT_EQ(Narrow(wide).bits, n.bits) << bits;
    }
  }
}
TEST(Narrow, WhatIsNarrowAlreadyIsKept) {
  expect_all_kept<Float16>();
  expect_all_kept<BFloat16>();
}

}  // namespace
