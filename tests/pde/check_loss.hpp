// Gradients of losses on derivatives of a whole PINNsFormer, against finite differences in double.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/models/pinnsformer.hpp"
#include "attn/pde/loss.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

namespace {

using attn::pde::d;
using attn::pde::Derivative;
using Exec = Kokkos::DefaultHostExecutionSpace;
using Ctx = attn::nn::Context<Exec, double>;

/// Asks for u, u_x, u_t, u_xx and u_xt at once, and is not linear in them.
struct Everything {
  using Orders = attn::pde::Orders<2, 1>;
  template <class U>
  auto operator()(U const& u) const {
    auto const value = d<0, 0>(u);
    return d<0, 1>(u) + 0.7 * value * d<1, 0>(u) - 0.3 * d<2, 0>(u) + 0.2 * d<1, 1>(u) * (1 - value) -
           attn::sin(attn::pde::coordinate(u, 0));
  }
};
struct FirstOrder {
  using Orders = attn::pde::Orders<1, 1>;
  template <class U>
  auto operator()(U const& u) const {
    return d<0, 1>(u) + 0.7 * d<0, 0>(u) * d<1, 0>(u);
  }
};
/// One derivative, along a direction whose first component is zero or not.
template <bool Oblique>
struct AlongOneDirection {
  using Orders = attn::pde::Orders<1, 1>;
  template <class U>
  auto operator()(U const& u) const {
    auto const slope = attn::pde::along(u, Oblique ? 0.7 : 0.0, 2);
    return slope * slope + d<0, 0>(u) - slope;
  }
};
/// The same, written with derivatives by coordinate.
struct AlongAsASum {
  using Orders = attn::pde::Orders<1, 1>;
  template <class U>
  auto operator()(U const& u) const {
    auto const slope = 0.7 * d<1, 0>(u) + 2.0 * d<0, 1>(u);
    return slope * slope + d<0, 0>(u) - slope;
  }
};
struct Periodic {
  template <class U>
  auto operator()(U const& u, U const& v) const {
    return d<0, 0>(u) - d<0, 0>(v);
  }
};
struct MyActivation {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    return attn::tanh(score) * score / T(attn::RealOf<T>(row.n_keys));
  }
};

attn::pde::Points some_points() {
  attn::pde::Points points{.dimensions = 2, .coordinates = {}};
  for (int i = 0; i < 11; ++i) points.coordinates.insert(points.coordinates.end(), {std::sin(3.0 * i), 0.1 * i});
  return points;
}

/// Of the gradient by `numbers` numbers of each parameter.
template <class Residual, class A>
double worst_relative_error(Derivative derivative, A const& activation, int numbers) {
  using Ord = typename Residual::Orders;
  Ctx ctx(7);
  attn::models::PinnsFormer<A> const model(
      ctx, {.width = 8, .heads = 2, .hidden = 12, .head_hidden = 10, .scale_tokens = 5}, activation);
  attn::pde::Points pairs = some_points();
  pairs.coordinates.resize(12);
  auto const terms = std::tuple(attn::pde::Term<Residual>{"equation", {}, some_points()},
                                attn::pde::Term<Periodic>{"edge", {}, pairs, true, 0.5});
  attn::pde::LossOptions const options{.sequence = {.length = 3, .step = 0.05}, .derivative = derivative, .chunk = 4};
  auto const loss = [&] { return attn::pde::loss_and_gradient<Ord>(ctx, model, terms, options).total; };
  loss();
  std::vector<std::vector<double>> gradients;
  double largest = 0;
  for (auto const& entry : ctx.parameters.entries()) gradients.push_back(ctx.parameters.host_gradients(entry));
  double worst = 0;
  std::size_t number = 0;
  for (auto const& entry : ctx.parameters.entries()) {
    auto const value = ctx.parameters.value(entry);
    for (attn::Index i = 0; i < entry.size; i += std::max<attn::Index>(1, entry.size / numbers)) {
      double const saved = value(i), h = 5e-5;  // small: high powers without a scale have large derivatives
      double f[4];
      int const steps[] = {-2, -1, 1, 2};
      for (int s = 0; s < 4; ++s) {
        value(i) = saved + h * steps[s];
        f[s] = loss();
      }
      value(i) = saved;
      double const expected = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
      double const got = gradients[number][std::size_t(i)];
      largest = std::max(largest, std::abs(expected));
      // relative to the gradient, and where that is small, to one thousandth of its largest entry
      worst = std::max(worst, std::abs(got - expected) / std::max(std::abs(expected), 1e-3 * largest));
    }
    ++number;
  }
  EXPECT_GT(largest, 1e-4);
  return worst;
}

template <class A>
void check(A const& activation, int numbers = 3) {
  double const total = worst_relative_error<Everything>(Derivative::total, activation, numbers);
  double const column = worst_relative_error<FirstOrder>(Derivative::column, activation, numbers);
  std::printf("relative error %.2g (total), %.2g (column)\n", total, column);
  EXPECT_LT(total, 1e-6);
  EXPECT_LT(column, 1e-6);
}

}  // namespace
