// Iterates of L-BFGS against those of an independent implementation (tests/golden/make_lbfgs.py).
#include "attn/io/npy.hpp"
#include "attn/optim/lbfgs.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "optim/function_of_parameters.hpp"

namespace {

using namespace attn_test::functions;

std::vector<double> golden(std::string const& name) {
  return attn::io::read_npy(std::string(ATTN_GOLDEN_DIR) + "/lbfgs/" + name + ".npy").as<double>();
}

/// 2 -> 6 -> 6 -> 1 with tanh, mean squared error.
double network(std::vector<double> const& x, std::vector<double>& gradient) {
  static std::vector<double> const inputs = golden("network_inputs"), targets = golden("network_targets");
  int const rows[] = {6, 6, 1}, columns[] = {2, 6, 6};
  std::size_t const n = targets.size();
  double loss = 0;
  for (std::size_t s = 0; s < n; ++s) {
    std::vector<std::vector<double>> y{{inputs[2 * s], inputs[2 * s + 1]}};
    std::size_t at = 0;
    std::vector<std::size_t> starts;
    for (int l = 0; l < 3; ++l) {
      starts.push_back(at);
      std::vector<double> z(std::size_t(rows[l]), 0.0);
      for (int i = 0; i < rows[l]; ++i) {
        for (int j = 0; j < columns[l]; ++j)
          z[std::size_t(i)] += x[at + std::size_t(i * columns[l] + j)] * y.back()[std::size_t(j)];
        z[std::size_t(i)] += x[at + std::size_t(rows[l] * columns[l] + i)];
        if (l < 2) z[std::size_t(i)] = std::tanh(z[std::size_t(i)]);
      }
      at += std::size_t(rows[l] * columns[l] + rows[l]);
      y.push_back(z);
    }
    double const error = y.back()[0] - targets[s];
    loss += error * error / double(n);
    std::vector<double> d{2 * error / double(n)};
    for (int l = 2; l >= 0; --l) {
      std::vector<double> d_in(std::size_t(columns[l]), 0.0);
      for (int i = 0; i < rows[l]; ++i) {
        double const out = y[std::size_t(l + 1)][std::size_t(i)];
        double const d_z = d[std::size_t(i)] * (l < 2 ? 1 - out * out : 1.0);
        for (int j = 0; j < columns[l]; ++j) {
          gradient[starts[std::size_t(l)] + std::size_t(i * columns[l] + j)] += d_z * y[std::size_t(l)][std::size_t(j)];
          d_in[std::size_t(j)] += d_z * x[starts[std::size_t(l)] + std::size_t(i * columns[l] + j)];
        }
        gradient[starts[std::size_t(l)] + std::size_t(rows[l] * columns[l] + i)] += d_z;
      }
      d = d_in;
    }
  }
  return loss;
}

void compare(std::string const& name, std::string const& steps_of, Loss loss, attn::optim::LbfgsOptions options) {
  auto const start = golden(name + "_start");
  auto const iterates = golden(name + "_" + steps_of + "_iterates"), losses = golden(name + "_" + steps_of + "_losses");
  auto const evaluations =
      attn::io::read_npy(std::string(ATTN_GOLDEN_DIR) + "/lbfgs/" + name + "_" + steps_of + "_evaluations.npy")
          .as<std::int64_t>();
  Problem problem(start, loss);
  attn::optim::Lbfgs lbfgs(problem.ctx, options);
  std::int64_t calls = 0;
  for (std::size_t step = 0; step < losses.size(); ++step) {
    auto const report = lbfgs.step(problem.ctx, problem);
    calls += report.evaluations;
    ASSERT_NEAR(report.first_loss, losses[step], 1e-5 * losses[step] + 1e-12) << name << " step " << step;
    ASSERT_EQ(calls, evaluations[step]) << name << " step " << step;
    auto const x = problem.values();
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(x[i], iterates[step * x.size() + i], 1e-5) << name << " step " << step << " parameter " << i;
    }
  }
}

attn::optim::LbfgsOptions const single{.max_iterations = 1, .max_evaluations = 25};
attn::optim::LbfgsOptions const whole{.max_iterations = 12, .history = 4};

TEST(Lbfgs, FiftyIteratesOnRosenbrockAreThoseOfTheReference) { compare("rosenbrock", "single", rosenbrock, single); }
TEST(Lbfgs, WholeStepsOnRosenbrockAreThoseOfTheReference) { compare("rosenbrock", "steps", rosenbrock, whole); }
TEST(Lbfgs, FiftyIteratesInAValleyOfFiveDimensionsAreThoseOfTheReference) {
  compare("valley", "single", rosenbrock, single);
}
TEST(Lbfgs, ShortHistoriesForgetTheOldestPair) { compare("valley", "steps", rosenbrock, whole); }
TEST(Lbfgs, FiftyIteratesOnANetworkAreThoseOfTheReference) { compare("network", "single", network, single); }
TEST(Lbfgs, WholeStepsOnANetworkAreThoseOfTheReference) { compare("network", "steps", network, whole); }

TEST(Lbfgs, ARestoredCheckpointContinuesToTheSameBits) {
  Problem one(golden("network_start"), network), two(golden("network_start"), network);
  attn::optim::Lbfgs a(one.ctx, {.max_iterations = 5}), b(two.ctx, {.max_iterations = 5});
  a.step(one.ctx, one);
  auto const saved = a.state(one.ctx);
  two.ctx.parameters.assign<double>(two.entry, one.values());
  b.restore_history(two.ctx, a.remembered());
  auto const to = b.state(two.ctx);
  ASSERT_EQ(to.arrays.size(), saved.arrays.size());
  to.steps.set(saved.steps.get());
  for (std::size_t i = 0; i < to.arrays.size(); ++i) {
    EXPECT_EQ(to.arrays[i].name, saved.arrays[i].name);
    Kokkos::deep_copy(to.arrays[i].values.view(), saved.arrays[i].values.view());
  }
  a.step(one.ctx, one);
  b.step(two.ctx, two);
  EXPECT_EQ(one.values(), two.values());
}

TEST(Lbfgs, ALossThatBecomesNanKeepsTheLastGoodParameters) {
  int calls = 0;
  std::vector<double> last_good;
  Problem* self = nullptr;
  Problem problem({-1.2, 1.0}, [&](auto const& x, auto& g) {
    double const loss = rosenbrock(x, g);
    return ++calls < 12 ? loss : std::numeric_limits<double>::quiet_NaN();
  });
  self = &problem;
  attn::optim::Lbfgs lbfgs(problem.ctx, {.max_iterations = 1, .max_evaluations = 1});
  std::string message;
  try {
    for (;;) {
      last_good = self->values();
      lbfgs.step(problem.ctx, problem);
    }
  } catch (attn::Error const& e) {
    message = e.what();
  }
  EXPECT_NE(message.find("Lbfgs: the loss became nan"), std::string::npos) << message;
  EXPECT_EQ(problem.values(), last_good);
}

TEST(Lbfgs, AStepOutOfWhatCanBeComputedIsShortened) {
  int beyond = 0;
  Problem problem({-0.5, 1.0}, [&](auto const& x, auto& g) {
    double const room = 1 - x[0] * x[0];
    beyond += room < 0;
    g = {2 * x[0] / room + 2 * (x[0] - 0.5), 2 * x[1]};
    return -std::log(room) + (x[0] - 0.5) * (x[0] - 0.5) + x[1] * x[1];  // NaN beyond 1
  });
  attn::optim::Lbfgs lbfgs(problem.ctx, {.learning_rate = 20, .max_iterations = 30});
  lbfgs.step(problem.ctx, problem);
  EXPECT_GT(beyond, 0);
  EXPECT_NEAR(problem.values()[0], 0.24243097643596473, 1e-5);  // where 2 x / (1 - x^2) = 1 - 2 x
  EXPECT_NEAR(problem.values()[1], 0, 1e-6);
}

// The largest of NaN and three zeros is NaN: that is no flat place.
TEST(Lbfgs, AGradientThatIsNanIsAFailedRun) {
  for (std::size_t const where : {std::size_t(0), std::size_t(3)}) {
    Problem problem({1.0, 2.0, 3.0, 4.0}, [&](auto const&, auto& g) {
      for (auto& x : g) x = 0;
      g[where] = std::numeric_limits<double>::quiet_NaN();
      return 1.0;
    });
    attn::optim::Lbfgs lbfgs(problem.ctx);
    std::string message;
    try {
      lbfgs.step(problem.ctx, problem);
    } catch (attn::Error const& e) {
      message = e.what();
    }
    EXPECT_NE(message.find("Lbfgs: the slope along the search direction became nan"), std::string::npos) << message;
    EXPECT_EQ(problem.values(), (std::vector<double>{1, 2, 3, 4}));
  }
}

TEST(Lbfgs, AFlatStartStopsAtOnce) {
  Problem problem({1.0, 1.0}, rosenbrock);
  attn::optim::Lbfgs lbfgs(problem.ctx);
  auto const report = lbfgs.step(problem.ctx, problem);
  EXPECT_TRUE(report.converged);
  EXPECT_EQ(report.evaluations, 1);
  EXPECT_EQ(report.iterations, 0);
}

TEST(Lbfgs, WhatIsNotTrainedStaysAndDoesNotCount) {
  Problem problem({-1.2, 1.0}, rosenbrock);
  attn::nn::Builder(problem.ctx).add<1>("frozen", {20}, attn::nn::normal(1));
  auto const frozen = problem.ctx.parameters.entry("frozen");
  auto const before = problem.ctx.parameters.host_values(frozen);
  problem.ctx.parameters.set("frozen", {.trained = false});
  auto const closure = [&] {
    double const loss = problem();
    Kokkos::deep_copy(problem.ctx.parameters.gradient(frozen).view(), std::numeric_limits<double>::quiet_NaN());
    return loss;
  };
  attn::optim::Lbfgs lbfgs(problem.ctx, {.max_iterations = 100});
  EXPECT_LT(lbfgs.step(problem.ctx, closure).loss, 1e-9);
  EXPECT_EQ(problem.ctx.parameters.host_values(frozen), before);
}

TEST(Lbfgs, FactorsOfTheLearningRateAreRefused) {
  Problem problem({1.0, 1.0}, rosenbrock);
  problem.ctx.parameters.set("x", {.learning_rate_factor = 0.5});
  attn::optim::Lbfgs lbfgs(problem.ctx);
  EXPECT_THROW(lbfgs.step(problem.ctx, problem), attn::Error);
}

}  // namespace
