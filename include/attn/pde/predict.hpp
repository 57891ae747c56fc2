/// What a network says at given points, how far that is from the truth, and how the terms of its loss should be
/// weighed.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/pde/loss.hpp"

#include <cmath>
#include <vector>

namespace attn::pde {

namespace detail {

/// Values of a chunk of points as a tensor of jets (count, steps, dimensions), with unit tangents where planes are
/// kept.
template <class JetCtx>
auto unit_points(JetCtx& ctx, Points const& points, PseudoSequence const& sequence, std::size_t first, Index count) {
  using J = typename JetCtx::Scalar;
  using Real = typename JetCtx::Real;
  auto const x = ctx.tensor(count, Index(sequence.length), Index(points.dimensions));
  std::size_t const plane = std::size_t(x.size());
  std::vector<Real> host(plane * std::size_t(x.planes().count), Real(0));
  for (std::size_t e = 0; e < plane; ++e) {
    std::size_t const token = e / std::size_t(points.dimensions);
    int const which = static_cast<int>(e % std::size_t(points.dimensions));
    std::size_t const row = token / std::size_t(sequence.length);
    host[e] = static_cast<Real>(sequence.at(points[first + row], points.dimensions, which,
                                            static_cast<int>(token % std::size_t(sequence.length))));
    for (int c = 1; c < J::size; ++c) {
      int degree = 0;
      for (int d = 0; d < J::Layout::directions; ++d) degree += J::Layout::digit(c, d);
      if (x.planes()[c] >= 0 && degree == 1 && J::Layout::digit(c, which) == 1) {
        host[std::size_t(x.planes()[c]) * plane + e] = Real(1);
      }
    }
  }
  copy_from_host<typename JetCtx::MemorySpace>(host, x.data().first());
  return x;
}

}  // namespace detail

/// The derivative of order I... of every output at the first step of each point: (points, outputs), in double. Without
/// orders, the values. Keeps no tape.
template <class Ord, int... I, class Ctx, class Model>
std::vector<double> predict(Ctx& ctx, Model const& model, Points const& points, PseudoSequence const& sequence,
                            Index chunk = 256) {
  using JetCtx = nn::Context<typename Ctx::Space, typename Ord::template Jet<typename Ctx::Real>>;
  using J = typename JetCtx::Scalar;
  constexpr int wanted = [] {
    if constexpr (sizeof...(I) == 0)
      return 0;
    else
      return detail::coefficient_of<I...>(Ord{});
  }();
  JetCtx jets(ctx);
  jets.training = false;
  jets.planes = JetPlanes<J>::closure_of(std::bitset<std::size_t(J::size)>(1ull << wanted));
  std::vector<double> all;
  for (std::size_t first = 0; first < points.size(); first += std::size_t(chunk)) {
    jets.begin_step();
    Index const count = std::min<Index>(chunk, Index(points.size() - first));
    auto const x = detail::unit_points(jets, points, sequence, first, count);
    auto const u = model.forward(jets, x).value;
    jets.exec.fence("attn::pde::predict");
    std::size_t const plane = std::size_t(u.size()), steps = std::size_t(sequence.length);
    auto const values =
        host_copy<typename Ctx::MemorySpace>(u.data().first() + Index(jets.planes[wanted]) * u.plane_stride(), plane);
    std::size_t const outputs = std::size_t(u.extent(2));
    for (std::size_t p = 0; p < std::size_t(count); ++p) {
      for (std::size_t o = 0; o < outputs; ++o) {
        all.push_back(double(values[p * steps * outputs + o]) * detail::factorials<I...>());
      }
    }
  }
  return all;
}

/// Relative errors: rMAE = sum |u - v| / sum |u|, rMSE = sqrt(sum (u - v)^2 / sum u^2), where u is the truth.
struct RelativeErrors {
  double rmae = 0;
  double rmse = 0;
};
/// Errors of `guess`, relative to the size of `truth`.
inline RelativeErrors relative_errors(std::vector<double> const& truth, std::vector<double> const& guess) {
  ATTN_CHECK(truth.size() == guess.size() && !truth.empty(), "relative_errors: give as many guesses as truths, got ",
             guess.size(), " and ", truth.size());
  double absolute = 0, square = 0, all = 0, squares = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    absolute += std::abs(truth[i] - guess[i]);
    square += (truth[i] - guess[i]) * (truth[i] - guess[i]);
    all += std::abs(truth[i]);
    squares += truth[i] * truth[i];
  }
  return {absolute / all, std::sqrt(square / squares)};
}

/// The trace of a term's neural tangent kernel: the sum over points of the squared gradient of u (first step) by all
/// parameters (Wang, Yu and Perdikaris 2022). One backward pass a point; overwrites the gradients.
template <class Ord, class Ctx, class Model>
double tangent_kernel_trace(Ctx& ctx, Model const& model, Points const& points, PseudoSequence const& sequence) {
  using Real = typename Ctx::Real;
  using JetCtx = nn::Context<typename Ctx::Space, typename Ord::template Jet<Real>>;
  JetCtx jets(ctx);
  jets.keep_tape = true;
  jets.planes = JetPlanes<typename JetCtx::Scalar>::closure_of({});
  double trace = 0;
  for (std::size_t p = 0; p < points.size(); ++p) {
    jets.begin_step();
    ctx.parameters.zero_gradients(ctx.exec);
    auto const x = detail::unit_points(jets, points, sequence, p, 1);
    auto [u, tape] = model.forward(jets, x);
    nn::AdjointPhase const phase(jets);
    auto const d_u = jets.tensor(u.extents());
    std::vector<Real> seed(std::size_t(u.size()), Real(0));
    seed[0] = Real(1);
    copy_from_host<typename Ctx::MemorySpace>(seed, d_u.data().first());
    model.backward(jets, std::move(tape), d_u);
    jets.exec.fence("attn::pde::tangent_kernel_trace");
    auto const gradient =
        host_copy<typename Ctx::MemorySpace>(ctx.parameters.gradients().data(), std::size_t(ctx.parameters.extent()));
    for (Real const g : gradient) trace += double(g) * double(g);
  }
  return trace;
}

}  // namespace attn::pde
