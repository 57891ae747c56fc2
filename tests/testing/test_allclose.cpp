#include "attn/testing/allclose.hpp"
#include "attn/testing/tolerance.hpp"

#include <limits>

#include "support.hpp"

namespace {

using attn::testing::allclose;
using attn::testing::same_bits;
using attn::testing::Verdict;
using V = std::vector<double>;

TEST(Allclose, ComparesRelativeToTheLargestElement) {
  EXPECT_TRUE(allclose(V{1, 100}, V{1.0009, 100}, 1e-5));
  EXPECT_FALSE(allclose(V{1, 100}, V{1.0011, 100}, 1e-5));
  EXPECT_TRUE(allclose(V{0, 0}, V{0, 0}, 0));
  EXPECT_FALSE(allclose(V{1e-30}, V{0}, 1e-3));
  EXPECT_TRUE(allclose(V{1e-3}, V{0}, 1e-3, 1));
  EXPECT_TRUE(allclose(V{}, V{}, 0));
}

TEST(Allclose, FindsNaNAndOtherSizes) {
  double const nan = std::nan("");
  EXPECT_FALSE(allclose(V{nan}, V{1}, 1));
  EXPECT_FALSE(allclose(V{1}, V{nan}, 1));
  EXPECT_FALSE(allclose(V{nan}, V{nan}, 1));
  EXPECT_FALSE(allclose(V{1, 2}, V{1}, 1));
}

TEST(Allclose, NamesTheFirstThreeWrongElements) {
  auto const message = allclose(V{1, 2, 3, 4, 5}, V{1, 0, 0, 0, 0}, 1e-6).message();
  EXPECT_NE(message.find("4 of 5 elements are off, by up to 5"), std::string::npos) << message;
  EXPECT_NE(message.find("[1] 2 instead of 0, [2] 3 instead of 0, [3] 4 instead of 0"), std::string::npos) << message;
  EXPECT_EQ(message.find("[4]"), std::string::npos) << message;
}

TEST(Allclose, ReadsTensorsOfAnyStrides) {
  attn_test::Array<float, 2> const x({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_TRUE(allclose(x.tensor(), V{1, 2, 3, 4, 5, 6}, 0));
  EXPECT_TRUE(allclose(x.tensor().transpose(0, 1), V{1, 4, 2, 5, 3, 6}, 0));
  EXPECT_TRUE(allclose(x.tensor().slice(1, 1, 2), V{2, 5}, 0));
}

TEST(SameBits, AllowsNoDifferenceButTakesNaNForEqual) {
  double const nan = std::nan("");
  EXPECT_TRUE(same_bits(V{nan, 1}, V{nan, 1}));
  EXPECT_FALSE(same_bits(V{1}, V{1 + std::numeric_limits<double>::epsilon()}));
  EXPECT_FALSE(same_bits(V{1}, V{1, 1}));
}

TEST(Verdict, JoinsFaults) {
  Verdict verdict;
  EXPECT_TRUE(verdict);
  EXPECT_EQ(verdict.message(), "sound");
  verdict &= Verdict("bad").about("x");
  verdict &= Verdict();
  verdict &= Verdict("worse");
  EXPECT_FALSE(verdict);
  EXPECT_EQ(verdict.message(), "x: bad\nworse");
}

TEST(Tolerance, GrowsWithTheRootOfTheLengthAndTheRoundingOfTheType) {
  using attn::testing::tolerance;
  EXPECT_DOUBLE_EQ(tolerance<float>(400), 20 * tolerance<float>(1));
  EXPECT_DOUBLE_EQ(tolerance<float>(0), tolerance<float>(1));
  EXPECT_LT(tolerance<double>(1e6), tolerance<float>(1));
}

}  // namespace
