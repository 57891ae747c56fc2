// Gradients of <d_out, out>, held against finite differences.
#pragma once

#include "attn/testing/gradcheck.hpp"

#include <gtest/gtest.h>

#include "attention/cases.hpp"

namespace attn_test {

/// `run` makes the outputs that belong to inputs. Each number of q, k, v and, where there is one, of the bias is moved,
/// so shapes are to be small.
void expect_differences(Inputs<double> const& in, auto const& run) {
  auto const result = run(in);
  auto const check = [&](char const* name, auto member, std::vector<double> const& gradient) {
    auto const loss = [&](std::size_t i, double shift) {
      auto moved = in;
      (moved.*member)[i] += shift;
      return inner(in.d_out, run(moved).out);
    };
    auto const verdict = attn::testing::gradcheck(loss, gradient, {.tolerance = 1e-8, .at_most = 1000});
    EXPECT_TRUE(verdict) << name << ": " << verdict.message();
  };
  check("d_q", &Inputs<double>::q, result.d_q);
  check("d_k", &Inputs<double>::k, result.d_k);
  check("d_v", &Inputs<double>::v, result.d_v);
  if (!in.bias.empty()) check("d_bias", &Inputs<double>::bias, result.d_bias);
}

}  // namespace attn_test
