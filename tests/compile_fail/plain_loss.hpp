/// A loss of which nothing is known but its value and its gradient; where success is expected, a sum of squares.
#pragma once

#include "attn/nn/context.hpp"

#include <vector>

using Ctx = attn::nn::Context<Kokkos::DefaultHostExecutionSpace, double>;

struct Closure {
  double operator()();
#if defined(ATTN_EXPECT_SUCCESS)
  std::size_t size();
  void residuals(std::vector<double>& r);
  void pull_back(std::vector<double> const& w);
#endif
};
