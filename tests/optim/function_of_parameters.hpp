// Losses on numbers that are written out, for tests of optimizers.
#pragma once

#include "attn/nn/context.hpp"

#include <functional>
#include <utility>
#include <vector>

namespace attn_test::functions {

using Exec = Kokkos::DefaultHostExecutionSpace;
using Ctx = attn::nn::Context<Exec, double>;
using Loss = std::function<double(std::vector<double> const& x, std::vector<double>& gradient)>;

/// The valley, of as many dimensions as x has.
inline double rosenbrock(std::vector<double> const& x, std::vector<double>& gradient) {
  double loss = 0;
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    double const a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
    loss += 100 * a * a + b * b;
    gradient[i + 1] += 200 * a;
    gradient[i] += -400 * a * x[i] - 2 * b;
  }
  return loss;
}

/// A loss that is written as a function of numbers, as one of the parameters of a context: the closure of a method.
struct Problem {
  Ctx ctx;
  attn::nn::ParameterEntry entry;
  Loss loss;

  Problem(std::vector<double> const& start, Loss f) : loss(std::move(f)) {
    attn::nn::Builder(ctx).add<1>("x", {attn::Index(start.size())}, attn::nn::zeros());
    entry = ctx.parameters.entry("x");
    ctx.parameters.assign<double>(entry, start);
  }
  double operator()() {
    std::vector<double> const x = values();
    std::vector<double> gradient(x.size(), 0.0);
    double const value = loss(x, gradient);
    ctx.parameters.zero_gradients(ctx.exec);
    auto const to = ctx.parameters.gradient(entry);
    for (std::size_t i = 0; i < x.size(); ++i) to(attn::Index(i)) = gradient[i];
    return value;
  }
  std::vector<double> values() { return ctx.parameters.host_values(entry); }
};

}  // namespace attn_test::functions
