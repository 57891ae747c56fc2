/// SinusoidalPositions: sines and cosines of the position, added to the tokens of a sequence.
#pragma once

#include "attn/nn/fourier_positions.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

namespace detail {

/// table (tokens, width): in columns 2 i and 2 i + 1 the sine and the cosine of t / base^(2 i / width).
template <class T>
struct SinesOfPositions {
  T* table;
  Index width;
  double base;
  ATTN_FUNCTION void operator()(Index at) const {
    Index const position = at / width, column = at % width, pair = column / 2;
    double const angle = double(position) / Kokkos::pow(base, double(2 * pair) / double(width));
    table[at] = T(column % 2 == 0 ? Kokkos::sin(angle) : Kokkos::cos(angle));
  }
};

}  // namespace detail

/// x (B, N, C) -> y_t = x_t + p_t, for sequences of any length N; no parameters. p_(t, 2 i) = sin(t / base^(2 i / C)),
/// p_(t, 2 i + 1) = cos of the same (Vaswani et al. 2017, section 3.5). N C sines a call, and 2 B N C numbers moved.
class SinusoidalPositions {
 public:
  struct Config {
    double base = 10000;
  };
  struct Tape {};

  SinusoidalPositions() : SinusoidalPositions(Config()) {}
  explicit SinusoidalPositions(Config const& c) : config_(c) {
    ATTN_CHECK(c.base > 1, "SinusoidalPositions: give a base above 1, got ", c.base);
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    ConstTensorOf<Ctx, 3> const input = x;
    ATTN_CHECK(input.is_contiguous(), "SinusoidalPositions::forward: give a contiguous (B, N, C) tensor");
    Index const tokens = input.extent(1), width = input.extent(2);
    auto const y = ctx.tensor(input.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const table = ctx.template tensor<R>(tokens, width);
    attn::launch("attn::SinusoidalPositions::table",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, table.size()),
                 detail::SinesOfPositions<R>{table.data(), width, config_.base});
    elementwise<T>(ctx.exec, "attn::SinusoidalPositions", input.extent(0) * tokens, width,
                   detail::AddToSamples<T, R>{input.data(), table.data(), y.data(), tokens, width});
    return Forward<TensorOf<Ctx, 3>, Tape>{y, {}};
  }

  /// y moves with x: d_x = d_y.
  template <class Ctx>
  ConstTensorOf<Ctx, 3> backward(Ctx&, Tape&&, ConstTensorOf<Ctx, 3> d_y) const {
    return d_y;
  }

 private:
  Config config_;
};

}  // namespace attn::nn
