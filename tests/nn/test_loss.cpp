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

constexpr double infinity = std::numeric_limits<double>::infinity();
std::vector<double> const with_minus_infinity = {-infinity, 0, 1, 2, 3, 0.5, -1, 2, 0, 1};

// Numbers of PyTorch 2.
TEST(CrossEntropy, TakesMinusInfinityForAClassThatIsNotTheLabel) {
  Ctx<float> ctx;
  attn_test::Array<float, 2> const logits({2, 5}, with_minus_infinity);
  auto const result = cross_entropy(ctx, logits.tensor(), Labels({2}, {1, 4}).tensor());
  EXPECT_NEAR(result.loss.mean(), 2.5073138190944957, 1e-6);
  EXPECT_SOUND(allclose(result.d_logits,
                        std::vector<double>{0, -0.4839706983599575, 0.043572159371016286, 0.11844140904495508,
                                            0.3219571299439862, 0.06281350881083261, 0.01401558828044589,
                                            0.28151061590709225, 0.03809831893789962, -0.39643803193627036},
                        1e-6));
  attn_test::Array<float, 2> const one({1, 5}, {-infinity, 0, 1, 2, 3});
  EXPECT_NEAR(cross_entropy(ctx, one.tensor(), Labels({1}, {1}).tensor()).loss.mean(), 3.4401896985611953, 1e-6);
  EXPECT_EQ(cross_entropy(ctx, one.tensor(), Labels({1}, {4}).tensor()).loss.correct(), 1);
  EXPECT_EQ(cross_entropy(ctx, one.tensor(), Labels({1}, {0}).tensor()).loss.mean(), infinity);
  // Smoothing gives each class a share, also that one.
  auto const smooth = cross_entropy(ctx, logits.tensor(), Labels({2}, {1, 4}).tensor(), {.label_smoothing = 0.1});
  EXPECT_EQ(smooth.loss.mean(), infinity);
  EXPECT_SOUND(allclose(smooth.d_logits,
                        std::vector<double>{-0.01, -0.4439706983599575, 0.033572159371016284, 0.10844140904495508,
                                            0.31195712994398617, 0.05281350881083261, 0.004015588280445889,
                                            0.27151061590709225, 0.028098318937899616, -0.3564380319362704},
                        1e-6));
}

TEST(CrossEntropy, TakesMinusInfinityWhereAMixedTargetIsZero) {
  Ctx<double> ctx;
  attn_test::Array<double, 2> const logits({2, 5}, with_minus_infinity),
      targets({2, 5}, {0, .25, .75, 0, 0, .5, 0, 0, .5, 0});
  auto const result = cross_entropy(ctx, logits.tensor(), targets.tensor());
  double first = 0, second = 0;  // log sum_k e^(z_k)
  for (std::size_t c = 0; c < 5; ++c)
    first += std::exp(with_minus_infinity[c]), second += std::exp(with_minus_infinity[5 + c]);
  EXPECT_NEAR(result.loss.mean(), (std::log(first) - 0.75 + std::log(second) - 0.25) / 2, 1e-12);
  EXPECT_SOUND(allclose(result.d_logits,
                        std::vector<double>{0, -0.10897069835995751, -0.3314278406289837, 0.11844140904495508,
                                            0.3219571299439862, -0.1871864911891674, 0.01401558828044589,
                                            0.28151061590709225, -0.2119016810621004, 0.10356196806372964},
                        1e-9));
}

TEST(CrossEntropy, LeavesOutRowsWhoseLabelIsIgnored) {
  Ctx<float> ctx;
  std::vector<double> const second = {0.12562701762166523, 0.02803117656089178, 0.5630212318141845, 0.07619663787579924,
                                      -0.7928760638725407};
  std::vector<double> want(5, 0.0);
  want.insert(want.end(), second.begin(), second.end());
  for (double const first : {-infinity, std::nan("")}) {
    std::vector<double> values = with_minus_infinity;
    values[0] = first;
    attn_test::Array<float, 2> const logits({2, 5}, values);
    auto const result = cross_entropy(ctx, logits.tensor(), Labels({2}, {-100, 4}).tensor());
    EXPECT_NEAR(result.loss.mean(), 1.574437939627796, 1e-6);
    EXPECT_EQ(result.loss.counted(), 1);
    EXPECT_EQ(result.loss.correct(), 0);
    EXPECT_SOUND(allclose(result.d_logits, want, 1e-6));
  }
  attn_test::Array<float, 2> const logits({2, 5}, {0, 1, 2, 3, 4, 0.5, -1, 2, 0, 1});
  auto const smooth =
      cross_entropy(ctx, logits.tensor(), Labels({2}, {1, 3}).tensor(), {.label_smoothing = 0.1, .ignore_index = 3});
  EXPECT_NEAR(smooth.loss.mean(), 3.351914395937593, 1e-6);
  EXPECT_SOUND(allclose(smooth.d_logits,
                        std::vector<double>{-0.008343769043960392, -0.8883150792038758, 0.06612854443626871,
                                            0.21412165725273663, 0.6164086465588308, 0, 0, 0, 0, 0},
                        1e-6));
  auto const none = cross_entropy(ctx, logits.tensor(), Labels({2}, {-100, -100}).tensor());
  EXPECT_TRUE(std::isnan(none.loss.mean()));
  EXPECT_SOUND(allclose(none.d_logits, std::vector<double>(10, 0.0), 0));
}

TEST(CrossEntropy, RefusesLabelsThatAreNoClasses) {
  Ctx<float> ctx;
  attn_test::Array<float, 2> const logits({2, 3}, {0, 1, 2, 3, 4, 5});
  for (double const label : {3, -1, 2147483647}) {
    Labels const labels({2}, {0, label});
    std::string const error = attn_test::error_of([&] { cross_entropy(ctx, logits.tensor(), labels.tensor()); });
    if constexpr (attn::HostExecutionSpace<Exec>) {
      EXPECT_EQ(error, "cross_entropy: give labels from 0 to 2, or -100 for rows to ignore; got " +
                           std::to_string(int(label)) + " in row 1");
    }
    // What labels on a device get, which are not waited for.
    auto const result = attn::nn::detail::cross_entropy(
        ctx, logits.tensor(), attn::nn::detail::LabelTargets<float>{labels.tensor().data(), 3, -100, 1, 0});
    EXPECT_EQ(attn_test::error_of([&] { result.loss.mean(); }),
              "cross_entropy: give labels that are classes, or to be ignored; that of row 1 is not");
    auto const numbers = attn::testing::detail::host_numbers(result.loss.numbers());
    EXPECT_TRUE(std::isnan(numbers[0]));
    EXPECT_LE(numbers[1], 1) << "what is none of the classes is not right";
    auto const d = attn::testing::detail::host_numbers(result.d_logits);
    EXPECT_TRUE(std::isfinite(d[0]) && std::isnan(d[3]));
  }
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
