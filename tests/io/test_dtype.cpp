#include "attn/io/dtype.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::convert;
using attn::io::DType;
using attn::io::dtype_of;

template <class T, class S>
std::vector<T> converted(std::vector<S> const& values, DType type) {
  std::vector<T> result(values.size());
  convert(reinterpret_cast<std::byte const*>(values.data()), type, values.size(), result.data(), "values");
  return result;
}

TEST(DType, KnowsItsSizeAndName) {
  EXPECT_EQ(attn::io::size_of(DType::boolean), 1u);
  EXPECT_EQ(attn::io::size_of(DType::bf16), 2u);
  EXPECT_EQ(attn::io::size_of(DType::f64), 8u);
  EXPECT_STREQ(attn::io::name_of(DType::bf16), "BF16");
  EXPECT_STREQ(attn::io::name_of(DType::u64), "U64");
  static_assert(dtype_of<float>() == DType::f32 && dtype_of<double>() == DType::f64);
  static_assert(dtype_of<std::int64_t>() == DType::i64 && dtype_of<std::uint16_t>() == DType::u16);
  static_assert(dtype_of<bool>() == DType::boolean && dtype_of<long long>() == DType::i64);
}

TEST(Convert, FloatingPointTypesConvertToOneAnother) {
  EXPECT_EQ(converted<double>(std::vector<float>{1.5f, -0.1f}, DType::f32), (std::vector<double>{1.5, double(-0.1f)}));
  EXPECT_EQ(converted<float>(std::vector<double>{1.5, 0.1}, DType::f64), (std::vector<float>{1.5f, 0.1f}));
  EXPECT_EQ(converted<float>(std::vector<std::uint16_t>{0x3c00, 0xc000}, DType::f16), (std::vector<float>{1, -2}));
  EXPECT_EQ(converted<double>(std::vector<std::uint16_t>{0x3f80, 0xc000}, DType::bf16), (std::vector<double>{1, -2}));
}

TEST(Convert, IntegersConvertWhereTheyFit) {
  EXPECT_EQ(converted<std::int32_t>(std::vector<std::int64_t>{-5, 7}, DType::i64), (std::vector<std::int32_t>{-5, 7}));
  EXPECT_EQ(converted<std::uint8_t>(std::vector<std::uint8_t>{0, 1}, DType::boolean),
            (std::vector<std::uint8_t>{0, 1}));
  EXPECT_ERROR(converted<std::uint8_t>(std::vector<std::int64_t>{3, 256}, DType::i64), "values holds 256 at element 1");
  EXPECT_ERROR(converted<std::uint64_t>(std::vector<std::int64_t>{-1}, DType::i64), "holds -1");
}

TEST(Convert, NeverMixesIntegersAndFloatingPoint) {
  EXPECT_ERROR(converted<float>(std::vector<std::int64_t>{1}, DType::i64), "values has type I64, but floating-point");
  EXPECT_ERROR(converted<int>(std::vector<float>{1}, DType::f32), "values has type F32, but integers");
}

TEST(Convert, ReadsUnalignedBytesAndNone) {
  std::vector<std::byte> bytes(9);
  double const value = 0.1;
  std::memcpy(bytes.data() + 1, &value, 8);
  float found = 0;
  convert(bytes.data() + 1, DType::f64, 1, &found, "value");
  EXPECT_EQ(found, 0.1f);
  convert<float>(nullptr, DType::f32, 0, nullptr, "nothing");
}

}  // namespace
