#include "attn/nn/loss.hpp"
#include "attn/testing/gradcheck.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::cross_entropy;
using attn::testing::allclose;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;
using Labels = attn_test::Array<std::int32_t, 1>;

template <class T>
void expect_golden() {
  Ctx<T> ctx;
  auto const logits = attn_test::golden_array<T, 2>("nn/loss_logits"),
             targets = attn_test::golden_array<T, 2>("nn/loss_targets");
  auto const labels = attn_test::golden_array<std::int32_t, 1>("nn/loss_labels");
  double const tolerance = 1e-6;
  auto const expect = [&](std::string const& name, auto const& result) {
    double const want = attn_test::golden("nn/loss_" + name + "_loss")[0];
    EXPECT_NEAR(result.loss.mean(), want, tolerance * std::abs(want)) << name;
    EXPECT_SOUND(allclose(result.d_logits, attn_test::golden("nn/loss_" + name + "_d_logits"), tolerance).about(name));
  };
  expect("hard", cross_entropy(ctx, logits.tensor(), labels.tensor()));
  expect("smooth", cross_entropy(ctx, logits.tensor(), labels.tensor(), {.label_smoothing = 0.1}));
  expect("soft", cross_entropy(ctx, logits.tensor(), targets.tensor()));
}

TEST(CrossEntropy, AgreesWithAnIndependentImplementation) {
  expect_golden<float>();
  expect_golden<double>();
}

TEST(CrossEntropy, HasItsGradient) {
  for (Index const classes : {1, 2, 17, 100}) {
    Ctx<double> ctx;
    auto const values = attn_test::random_numbers(3 * classes, 1);
    Labels const labels({3}, {0, double(classes / 2), double(classes - 1)});
    auto const loss = [&](std::size_t i, double shift) {
      auto moved = values;
      if (shift != 0) moved[i] += shift;
      attn_test::Array<double, 2> const x({3, classes}, moved);
      return cross_entropy(ctx, x.tensor(), labels.tensor(), {.label_smoothing = 0.2}).loss.mean();
    };
    attn_test::Array<double, 2> const x({3, classes}, values);
    auto const d = attn::testing::detail::host_numbers(
        cross_entropy(ctx, x.tensor(), labels.tensor(), {.label_smoothing = 0.2}).d_logits);
    EXPECT_SOUND(attn::testing::gradcheck(loss, d));
  }
}

TEST(CrossEntropy, CountsRightPredictions) {
  Ctx<float> ctx;
  attn_test::Array<float, 2> const logits({4, 3}, {0, 1, 2, 5, 4, 3, 0, 9, 0, 1, 1, 0});
  Labels const labels({4}, {2, 0, 0, 0});
  EXPECT_EQ(cross_entropy(ctx, logits.tensor(), labels.tensor()).loss.correct(), 3);  // of equals, the first wins
  attn_test::Array<float, 2> const targets({4, 3}, {0, 0.4, 0.6, 0.5, 0.3, 0.2, 0.7, 0.3, 0, 0.2, 0.8, 0});
  EXPECT_EQ(cross_entropy(ctx, logits.tensor(), targets.tensor()).loss.correct(), 2);
  auto const [mean, correct] = cross_entropy(ctx, logits.tensor(), labels.tensor()).loss.read();
  EXPECT_GT(mean, 0.0f);
  EXPECT_EQ(correct, 3.0f);
}

TEST(CrossEntropy, ShowsANaNAmongTheLogits) {
  for (Index const where : {0, 1, 16, 17}) {
    Ctx<float> ctx;
    std::vector<double> values(2 * 18, 0.5);
    values[std::size_t(where)] = std::nan("");
    attn_test::Array<float, 2> const logits({2, 18}, values);
    Labels const labels({2}, {3, 4});
    auto const loss = cross_entropy(ctx, logits.tensor(), labels.tensor()).loss;
    EXPECT_TRUE(std::isnan(loss.mean()));
    EXPECT_EQ(loss.correct(), 0);
  }
}

TEST(CrossEntropy, SurvivesHugeLogits) {
  Ctx<float> ctx;
  attn_test::Array<float, 2> const logits({2, 3}, {1e30, -1e30, 0, -1e30, -1e30, -1e30});
  Labels const labels({2}, {0, 1});
  auto const result = cross_entropy(ctx, logits.tensor(), labels.tensor());
  EXPECT_NEAR(result.loss.mean(), std::log(3.0) / 2, 1e-6);
  for (double const d : attn::testing::detail::host_numbers(result.d_logits)) EXPECT_TRUE(std::isfinite(d));
}

TEST(CrossEntropy, SaysWhichShapesItWants) {
  Ctx<float> ctx;
  attn_test::Array<float, 2> const logits({4, 3}), none({0, 3}), targets({4, 2});
  Labels const labels({3}), empty({0});
  EXPECT_EQ(attn_test::error_of([&] { cross_entropy(ctx, logits.tensor(), labels.tensor()); }),
            "cross_entropy: give one label for each row of the logits, got 3 labels for 4 rows");
  EXPECT_NE(attn_test::error_of([&] { cross_entropy(ctx, none.tensor(), empty.tensor()); }), "");
  EXPECT_NE(attn_test::error_of([&] { cross_entropy(ctx, logits.tensor(), targets.tensor()); }), "");
  Labels const four({4});
  EXPECT_NE(attn_test::error_of([&] { cross_entropy(ctx, logits.tensor(), four.tensor(), {.label_smoothing = 1}); }),
            "");
}

}  // namespace
