// Gradients of losses on derivatives of a whole PINNsFormer, against finite differences in double.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/models/pinnsformer.hpp"
#include "attn/optim/least_squares.hpp"
#include "attn/pde/residuals.hpp"

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

attn::models::PinnsFormerConfig const small{.width = 8, .heads = 2, .hidden = 12, .head_hidden = 10, .scale_tokens = 5};

template <class Residual>
auto some_terms() {
  attn::pde::Points pairs = some_points();
  pairs.coordinates.resize(12);
  return std::tuple(attn::pde::Term<Residual>{"equation", {}, some_points()},
                    attn::pde::Term<Periodic>{"edge", {}, pairs, true, 0.5});
}
attn::pde::LossOptions some_options(Derivative derivative) {
  return {.sequence = {.length = 3, .step = 0.05}, .derivative = derivative, .chunk = 4};
}

/// How far <w, J v> and <J^T w, v> are apart, relative to |w| |J v|; that the squares of the residuals make the loss
/// and the residuals pulled back half its gradient is expected besides.
template <class Residual, class A>
double mismatch_of_products(Derivative derivative, A const& activation) {
  using Ord = typename Residual::Orders;
  Ctx ctx(7);
  attn::models::PinnsFormer<A> const model(ctx, small, activation);
  auto const terms = some_terms<Residual>();
  auto const options = some_options(derivative);
  auto problem = attn::pde::residuals_of<Ord>(ctx, model, terms, options);
  static_assert(attn::optim::LeastSquares<decltype(problem)>);
  EXPECT_EQ(problem.size(), 11u * 3 + 3);
  std::vector<double> r, q;
  problem.residuals(r);
  double const loss = attn::pde::loss_and_gradient<Ord>(ctx, model, terms, options).total;
  auto const gradient = attn::host_copy(ctx.parameters.gradients());
  EXPECT_NEAR(problem.value(r).total, loss, 1e-13 * loss);
  problem.pull_back(r);
  auto const half = attn::host_copy(ctx.parameters.gradients());
  double apart = 0, length = 0;
  for (std::size_t i = 0; i < half.size(); ++i) {
    apart += std::pow(2 * half[i] - gradient[i], 2);
    length += std::pow(gradient[i], 2);
  }
  EXPECT_LT(apart, 1e-24 * length);

  std::vector<double> w(r.size()), v(half.size(), 0.0);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::sin(1.0 + 7 * double(i));
  for (auto const& entry : ctx.parameters.entries()) {
    for (attn::Index i = 0; i < entry.size; ++i) v[std::size_t(entry.offset + i)] = std::cos(double(i + entry.offset));
  }
  problem.pull_back(w);
  auto const pulled = attn::host_copy(ctx.parameters.gradients()), before = attn::host_copy(ctx.parameters.values());
  attn::optim::JacobianProduct<double, Exec::memory_space> jacobian;
  jacobian(ctx, problem, v.data(), q);
  EXPECT_EQ(attn::host_copy(ctx.parameters.values()), before);
  double ww = 0, qq = 0, wq = 0, pv = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    ww += w[i] * w[i];
    qq += q[i] * q[i];
    wq += w[i] * q[i];
  }
  for (std::size_t i = 0; i < v.size(); ++i) pv += pulled[i] * v[i];
  EXPECT_GT(qq, 1e-6);
  return std::abs(wq - pv) / std::sqrt(ww * qq);
}

/// Of the gradient by `numbers` numbers of each parameter.
template <class Residual, class A>
double worst_relative_error(Derivative derivative, A const& activation, int numbers) {
  using Ord = typename Residual::Orders;
  Ctx ctx(7);
  attn::models::PinnsFormer<A> const model(ctx, small, activation);
  auto const terms = some_terms<Residual>();
  auto const options = some_options(derivative);
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
  double const products = mismatch_of_products<Everything>(Derivative::total, activation);
  double const by_column = mismatch_of_products<FirstOrder>(Derivative::column, activation);
  std::printf("mismatch of J v and J^T w %.2g (total), %.2g (column)\n", products, by_column);
  EXPECT_LT(products, 1e-10);
  EXPECT_LT(by_column, 1e-10);
}

}  // namespace
