// Sums of squares of a few numbers, whose derivatives are written down.
#pragma once

#include "attn/nn/context.hpp"
#include "attn/optim/least_squares.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace attn_test::squares {

using Exec = Kokkos::DefaultHostExecutionSpace;
using Ctx = attn::nn::Context<Exec, double>;
using Numbers = std::vector<double>;

/// Residuals that are written as a function of numbers, with the rows of their Jacobian.
struct Problem {
  using Function = std::function<void(Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian)>;
  Ctx ctx;
  attn::nn::ParameterEntry entry;
  Function function;

  Problem(Numbers const& start, Function f) : function(std::move(f)) {
    attn::nn::Builder(ctx).add<1>("x", {attn::Index(start.size())}, attn::nn::zeros());
    entry = ctx.parameters.entry("x");
    ctx.parameters.assign<double>(entry, start);
  }
  Numbers values() { return ctx.parameters.host_values(entry); }
  std::pair<Numbers, std::vector<Numbers>> evaluate() {
    std::pair<Numbers, std::vector<Numbers>> result;
    function(values(), result.first, result.second);
    return result;
  }

  std::size_t size() { return evaluate().first.size(); }
  void residuals(Numbers& r) { r = evaluate().first; }
  void pull_back(Numbers const& w) {
    auto const jacobian = evaluate().second;
    ctx.parameters.zero_gradients(ctx.exec);
    auto const to = ctx.parameters.gradient(entry);
    for (std::size_t i = 0; i < w.size(); ++i) {
      for (std::size_t j = 0; j < jacobian[i].size(); ++j) to(attn::Index(j)) += w[i] * jacobian[i][j];
    }
  }
  std::string describe(std::size_t i) const { return "the place " + std::to_string(i); }
};
static_assert(attn::optim::LeastSquares<Problem>);
static_assert(!attn::optim::LeastSquares<Ctx>);

inline void rosenbrock(Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    Numbers valley(x.size(), 0.0), plain(x.size(), 0.0);
    valley[i + 1] = 10;
    valley[i] = -20 * x[i];
    plain[i] = -1;
    r.insert(r.end(), {10 * (x[i + 1] - x[i] * x[i]), 1 - x[i]});
    jacobian.insert(jacobian.end(), {valley, plain});
  }
}

/// A (x - 1), A with the singular values 1 ... 1e-4 between two reflections.
inline void ill_conditioned(Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
  std::size_t const n = x.size();
  for (std::size_t i = 0; i < n; ++i) {
    double const value = std::pow(10.0, -4.0 * double(i) / double(n - 1));
    Numbers row(n);
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
      row[j] = value * ((i == j ? 1.0 : 0.0) - 2.0 / double(n));
      sum += row[j] * (x[j] - 1);
    }
    r.push_back(sum);
    jacobian.push_back(row);
  }
}

/// The report of the last of some steps of a method.
template <class Method>
auto last_of(Problem& problem, decltype(Method::options) const& options, int steps) {
  Method method(problem.ctx, options);
  decltype(method.step(problem.ctx, problem)) report;
  for (int step = 0; step < steps && !report.converged; ++step) {
    report = method.step(problem.ctx, problem);
    EXPECT_LE(report.loss, report.first_loss);
    Numbers r;
    problem.residuals(r);
    EXPECT_EQ(method.residuals(), r);  // where the step has led
    EXPECT_EQ(report.loss, attn::optim::detail::dot(r, r));
    if constexpr (requires { report.products; }) {
      EXPECT_LE(report.products, options.max_products);
      EXPECT_LT(report.mismatch, 1e-8);  // 1e-12, over the part of |J| |v| that J v is
      EXPECT_LE(report.evaluations(), 2.5 * report.products + 3);
    } else {
      EXPECT_LE(report.trials, options.max_trials);
      EXPECT_LE(report.forwards, 1 + 2 * report.trials);
    }
  }
  return report;
}

}  // namespace attn_test::squares
