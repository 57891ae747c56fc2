#include "attn/nn/error_loss.hpp"
#include "attn/testing/gradcheck.hpp"

#include "support.hpp"

namespace {

using namespace attn::nn;
using attn::Index;
using attn_test::Exec;
using Ctx = Context<Exec, double>;

template <class F, int Rank>
auto mean_of(Ctx& ctx, F const& error, attn_test::Array<double, Rank> const& y,
             attn_test::Array<double, Rank> const& t) {
  auto const result = mean_error(ctx, error, y.tensor(), t.tensor());
  return std::pair(result.loss.mean(), attn::testing::detail::host_numbers(result.d_predictions));
}

/// One error at a time.
template <class F>
std::pair<double, double> one(F const& error, double y, double t) {
  auto const [value, slope] = error(y, t);
  return {value, slope};
}

TEST(ErrorLoss, Functions_HaveTheirValues) {
  using Pair = std::pair<double, double>;
  EXPECT_EQ(one(SquaredError{}, 1.5, 0.5), Pair(1, 2));
  EXPECT_EQ(one(AbsoluteError{}, -2.0, 1.0), Pair(3, -1));
  EXPECT_EQ(one(AbsoluteError{}, 1.0, 1.0), Pair(0, 0));
  EXPECT_EQ(one(HuberError{.delta = 2}, 1.0, 0.0), Pair(0.5, 1));
  EXPECT_EQ(one(HuberError{.delta = 2}, -5.0, 0.0), Pair(2 * (5 - 1), -2));
  auto const [even, down] = one(BinaryCrossEntropy{}, 0.0, 1.0);
  EXPECT_NEAR(even, std::log(2.0), 1e-15);
  EXPECT_NEAR(down, -0.5, 1e-15);
  for (double const z : {-800.0, -3.0, 0.2, 800.0}) {
    for (double const t : {0.0, 0.3, 1.0}) {
      auto const [value, slope] = one(BinaryCrossEntropy{.positive_weight = 3}, z, t);
      double const log_sigmoid = z > -700 ? -std::log1p(std::exp(-z)) : z,
                   log_rest = z < 700 ? -std::log1p(std::exp(z)) : -z;
      double const want = -3 * t * log_sigmoid - (1 - t) * log_rest;
      EXPECT_NEAR(value, want, 1e-14 * (1 + std::abs(want))) << z << " " << t;
      EXPECT_TRUE(std::isfinite(slope));
    }
  }
}

template <class F>
void expect_gradient(F const& error) {
  for (Index const columns : {1, 5, 17}) {
    auto const values = attn_test::random_numbers(3 * columns, 1), targets = attn_test::random_numbers(3 * columns, 2);
    Ctx ctx;
    attn_test::Array<double, 2> const t({3, columns}, targets);
    auto const loss = [&](std::size_t i, double shift) {
      auto moved = values;
      if (shift != 0) moved[i] += shift;
      return mean_of(ctx, error, attn_test::Array<double, 2>({3, columns}, moved), t).first;
    };
    auto const d = mean_of(ctx, error, attn_test::Array<double, 2>({3, columns}, values), t).second;
    EXPECT_SOUND(attn::testing::gradcheck(loss, d));
  }
}

TEST(ErrorLoss, HasItsGradient) {
  expect_gradient(SquaredError{});
  expect_gradient(HuberError{.delta = 0.7});
  expect_gradient(BinaryCrossEntropy{.positive_weight = 2});
}

TEST(ErrorLoss, IsTheMeanOverAllNumbersOfAnyRank) {
  Ctx ctx;
  attn_test::Array<double, 1> const y({4}, {1, 2, 3, 5}), t({4}, {1, 1, 1, 1});
  auto const [flat, d_flat] = mean_of(ctx, AbsoluteError{}, y, t);
  EXPECT_DOUBLE_EQ(flat, (0 + 1 + 2 + 4) / 4.0);
  EXPECT_EQ(d_flat, (std::vector<double>{0, 0.25, 0.25, 0.25}));
  attn_test::Array<double, 3> const y3({2, 1, 2}, {1, 2, 3, 5}), t3({2, 1, 2}, {1, 1, 1, 1});
  EXPECT_DOUBLE_EQ(mean_of(ctx, AbsoluteError{}, y3, t3).first, flat);
}

TEST(ErrorLoss, CountsRightAnswersOfTwoClasses) {
  Ctx ctx;
  attn_test::Array<double, 1> const z({4}, {2, -1, 0.5, -3}), t({4}, {1, 0, 0, 1});
  auto const loss = mean_error(ctx, BinaryCrossEntropy{}, z.tensor(), t.tensor()).loss;
  EXPECT_EQ(loss.correct(), 2);
  EXPECT_EQ(loss.counted(), 4);
  EXPECT_EQ(mean_error(ctx, SquaredError{}, z.tensor(), t.tensor()).loss.correct(), 0);
}

TEST(ErrorLoss, ShowsANaN) {
  double const nan = std::nan("");
  for (Index const where : {0, 16, 17}) {
    Ctx ctx;
    std::vector<double> values(18, 0.5);
    values[std::size_t(where)] = nan;
    attn_test::Array<double, 2> const y({1, 18}, values), t({1, 18}, std::vector<double>(18, 1.0));
    EXPECT_TRUE(std::isnan(mean_of(ctx, SquaredError{}, y, t).first));
    EXPECT_TRUE(std::isnan(mean_of(ctx, AbsoluteError{}, y, t).first));
    EXPECT_TRUE(std::isnan(mean_of(ctx, HuberError{}, y, t).first));
    EXPECT_TRUE(std::isnan(mean_of(ctx, BinaryCrossEntropy{}, y, t).first));
  }
}

TEST(ErrorLoss, RefusesNumbersThatMakeNoLoss) {
  Ctx ctx;
  attn_test::Array<double, 1> const y({2}, {1, 2});
  for (double const delta : {-1.0, 0.0, std::nan("")}) {
    EXPECT_NE(attn_test::error_of([&] {
                mean_error(ctx, HuberError{.delta = delta}, y.tensor(), y.tensor());
              }).find("HuberError: give a positive delta, got "),
              std::string::npos);
  }
}

TEST(ErrorLoss, RefusesShapesThatDoNotFit) {
  Ctx ctx;
  attn_test::Array<double, 1> const y({3}, {1, 2, 3}), t({2}, {1, 2}), none({0}, {});
  EXPECT_EQ(attn_test::error_of([&] { mean_error(ctx, SquaredError{}, y.tensor(), t.tensor()); }),
            "mean_error: give predictions, at least one, and targets of the same shape; got 3 and 2 numbers");
  EXPECT_EQ(attn_test::error_of([&] { mean_error(ctx, SquaredError{}, none.tensor(), none.tensor()); }),
            "mean_error: give predictions, at least one, and targets of the same shape; got 0 and 0 numbers");
}

}  // namespace
