#include "attn/optim/schedule.hpp"

#include "optim/golden_parameters.hpp"

namespace {

using namespace attn;
using namespace attn::optim;

static_assert(Schedule<Constant> && Schedule<LinearWarmup> && Schedule<Cosine> && Schedule<PerEpoch<Late<Cosine>>>);

void expect_rates(std::string const& file, Schedule auto const& schedule, Index stride = 1) {
  auto const rates = golden::numbers(file);
  ASSERT_FALSE(rates.empty());
  for (std::size_t t = 0; t < rates.size(); ++t) {
    EXPECT_NEAR(schedule(static_cast<Index>(t) * stride), rates[t], 1e-7 * rates[t]) << file << " at " << t;
  }
}

Cosine const deit{.base = 1e-3, .total = 300, .minimum = 1e-5, .warmup = 5, .start = 1e-6};

TEST(Cosine, RatesOfThreeHundredEpochs_AreTimms) { expect_rates("cosine_epochs_values", deit); }

TEST(Cosine, RatesBySteps_AreTimms) {
  expect_rates("cosine_steps_used", Cosine{.base = 2e-3, .total = 120, .minimum = 1e-5, .warmup = 20, .start = 1e-6});
  expect_rates("cosine_steps_prefix_used",
               Cosine{.base = 2e-3, .total = 100, .minimum = 1e-5, .warmup = 20, .start = 1e-6, .prefix = true});
  expect_rates("cosine_steps_no_warmup_used", Cosine{.base = 2e-3, .total = 120});
}

TEST(Cosine, WhereWarmupEnds_TheRateDropsALittle) {
  EXPECT_LT(deit(5), deit.base);
  EXPECT_GT(deit(5), 0.999 * deit.base);
  EXPECT_DOUBLE_EQ(deit(4), 1e-6 + (1e-3 - 1e-6) * 0.8);
}

TEST(PerEpoch, EpochsTrainWithTheRatesOfTheTwoPublishedLoops) {
  constexpr Index steps = 7;
  expect_rates("cosine_epochs_timm_used", PerEpoch<Cosine>{deit, steps}, steps);
  expect_rates("cosine_epochs_deit_used", PerEpoch<Late<Cosine>>{{deit}, steps}, steps);
}

TEST(Late, StepsTrainWithTheRatesOfSwinsLoop) {
  expect_rates(
      "cosine_swin_used",
      Late<Cosine>{{.base = 1e-3, .total = 280 * 3, .minimum = 1e-5, .warmup = 20 * 3, .start = 1e-6, .prefix = true}});
}

TEST(PerEpoch, WithinAnEpoch_TheRateStays) {
  PerEpoch<Cosine> const schedule{deit, 7};
  for (Index step = 14; step < 21; ++step) EXPECT_EQ(schedule(step), deit(2));
  EXPECT_EQ(schedule(21), deit(3));
}

TEST(LinearWarmup, RisesFromStart_ThenStays) {
  LinearWarmup const schedule{.rate = 1, .warmup = 4, .start = 0.2};
  EXPECT_DOUBLE_EQ(schedule(0), 0.2);
  EXPECT_DOUBLE_EQ(schedule(2), 0.6);
  EXPECT_EQ(schedule(4), 1);
  EXPECT_EQ(schedule(1000), 1);
  EXPECT_EQ((LinearWarmup{.rate = 3}(0)), 3);
  EXPECT_EQ(Constant{0.5}(17), 0.5);
}

}  // namespace
