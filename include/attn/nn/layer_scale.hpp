/// LayerScale: a trained factor for each channel, alone or at the end of a residual branch.
#pragma once

#include "attn/linalg/reduce.hpp"
#include "attn/nn/detail/heads.hpp"
#include "attn/nn/linear.hpp"

#include <optional>
#include <string>

namespace attn::nn {

namespace detail {

/// y = source + factor gamma x; `source` and `factors` (of samples) may be null. Rows are tokens.
template <class T>
struct ScaleChannels {
  using R = RealOf<T>;
  T const* x;
  R const* gamma;
  T const* source;
  R const* factors;
  T* y;
  Index width, rows_of_sample;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const at = row * width + column;
    auto value = lanes.load(x + at) * lanes.load(gamma + column);
    if (factors != nullptr) value *= Value(factors[row / rows_of_sample]);
    if (source != nullptr) value += lanes.load(source + at);
    lanes.store(y + at, value);
  }
};

/// forward: y = source + factor gamma x; hence d_x = factor gamma d_y, and d_gamma = sum of factor d_y x.
template <class T>
struct ScaleChannelsBackward {
  using R = RealOf<T>;
  using S = AccumulatorOf<T>;
  T const* x;
  T const* d_y;
  R const* gamma;
  R const* factors;
  T* d_x;
  Index width, rows_of_sample;

  ATTN_FUNCTION R factor(Index row) const { return factors == nullptr ? R(1) : factors[row / rows_of_sample]; }

  /// Sets d_x, and returns what d_gamma gets from there.
  template <class Lanes>
  ATTN_FUNCTION typename Lanes::Value pull_back(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const at = row * width + column;
    auto const d = lanes.load(d_y + at) * Value(factor(row));
    lanes.store(d_x + at, d * lanes.load(gamma + column));
    return d * lanes.load(x + at);
  }

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    pull_back(lanes, row, column);
  }
};

/// The terms of d_gamma, for devices.
template <class T>
struct ScaleGradientTerm {
  ScaleChannelsBackward<T> from;
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i, Index j) const {
    Index const at = i * from.width + j;
    return typename Lanes::Value(from.factor(i)) * lanes.load(from.d_y + at) * lanes.load(from.x + at);
  }
};

}  // namespace detail

/// y = gamma x for x (B, ..., C), with the parameter gamma (C), which does not decay (Touvron et al. 2021, "Going
/// deeper with Image Transformers").
class LayerScale {
 public:
  struct Config {
    Index width = 0;
    double initial = 1;
    std::string name = "gamma";  ///< of the parameter
  };

  template <class Ctx, class X>
  struct Tape {
    X x;  // (B, ..., C)
    Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace> factors;
  };

  LayerScale(Builder const& builder, Config const& config)
      : gamma_(builder.add<1>(config.name, {config.width}, constant(config.initial))) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    return forward(ctx, x, Onto<Ctx>{});
  }

  /// y = onto.source + onto.factors gamma x. One pass over memory.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x, Onto<Ctx> const& onto) const {
    using Input = detail::ConstLike<Ctx, X>;
    auto const y = ctx.tensor(x.extents());
    auto tape = multiply(ctx, Input(x), onto, y);
    return Forward<detail::Like<Ctx, X>, Tape<Ctx, Input>>{y, tape};
  }

  /// The same into a tensor that is there.
  template <class Ctx, class Input, class Y>
  Tape<Ctx, Input> multiply(Ctx& ctx, Input const& x, Onto<Ctx> const& onto, Y const& y) const {
    using T = typename Ctx::Scalar;
    static_assert(Real<AccumulatorOf<T>>, "LayerScale: compute in a context of reals, not of jets");
    Index const width = gamma_.shape[0];
    ATTN_CHECK(x.extent(Input::rank - 1) == width && x.is_contiguous() && y.extents() == x.extents(),
               "LayerScale::forward: give a contiguous tensor of width ", width, ", got ", detail::shape_text(x));
    ATTN_CHECK(onto.source.data() == nullptr || (onto.source.size() == x.size() && onto.source.is_contiguous()),
               "LayerScale::forward: give a contiguous source of the shape of x");
    elementwise<T>(ctx.exec, "attn::LayerScale", x.size() / width, width,
                   detail::ScaleChannels<T>{x.data(), ctx.parameters.value(gamma_).data(), onto.source.data(),
                                            onto.factors.data(), y.data(), width, rows_of_sample(x)});
    return ctx.keeps_tape() ? Tape<Ctx, Input>{x, onto.factors} : Tape<Ctx, Input>{};
  }

  template <class Ctx, class X, class D>
  auto backward(Ctx& ctx, Tape<Ctx, X>&& tape, D const& d_y) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("LayerScale::backward", tape.x);
    ATTN_CHECK(d_y.size() == tape.x.size() && d_y.is_contiguous(), "LayerScale::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.x.extents());
    Index const width = gamma_.shape[0], rows = tape.x.size() / width;
    detail::ScaleChannelsBackward<T> const kernel{
        tape.x.data(),         d_y.data(), ctx.parameters.value(gamma_).data(), tape.factors.data(), d_x.data(), width,
        rows_of_sample(tape.x)};
    auto const d_gamma = ctx.parameters.gradient(gamma_);
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      backward_on_host(ctx, kernel, rows, d_gamma);
    } else {
      elementwise<T>(ctx.exec, "attn::LayerScale::backward", rows, width, kernel);
      linalg::column_sums_of<AccumulatorOf<T>, T>(ctx.exec, rows, width, detail::ScaleGradientTerm<T>{kernel}, 1,
                                                  d_gamma);
    }
    return d_x;
  }

 private:
  /// One pass: each block of rows gathers its part of the gradient; the parts are added in order.
  template <class Ctx, class T, class Gradient>
  static void backward_on_host(Ctx& ctx, detail::ScaleChannelsBackward<T> const& kernel, Index rows,
                               Gradient const& d_gamma) {
    using S = AccumulatorOf<T>;
    Index const width = kernel.width;
    Index const height = linalg::detail::rows_of_partial_sum(rows), parts = (rows + height - 1) / height;
    S* const partial = linalg::detail::host_scratch<S>(std::max(Index(1), parts * width));  // (parts, width)
    for_blocks(ctx.exec, "attn::LayerScale::backward", parts, [=](Index part) {
      S* const sums = partial + part * width;
      std::fill_n(sums, width, S(0));
      for (Index i = part * height; i < std::min(rows, (part + 1) * height); ++i) {
        for_lanes<S>(0, width, [&](auto lanes, Index j) {
          lanes.store(sums + j, lanes.load(sums + j) + kernel.pull_back(lanes, i, j));
        });
      }
    });
    linalg::detail::add_parts(ctx.exec, partial, parts, width, width, d_gamma);
  }

  template <class X>
  Index rows_of_sample(X const& x) const {
    return x.extent(0) == 0 ? 1 : std::max(Index(1), x.size() / x.extent(0) / gamma_.shape[0]);
  }

  Parameter<1> gamma_;
};

/// A branch with a `LayerScale` behind it, or without: y = gamma branch(x). It is a branch of `Residual` again, whose
/// pass over memory does the scaling too: `Residual<LayerNorm, Scaled<Mlp<Gelu>>>`.
template <class Branch>
class Scaled {
 public:
  template <class BranchTape, class ScaleTape>
  struct Tape {
    BranchTape branch;
    ScaleTape scale;
  };

  Scaled(Branch const& branch, std::optional<LayerScale> const& scale) : branch_(branch), scale_(scale) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    return forward(ctx, x, Onto<Ctx>{});
  }

  /// y = onto.source + onto.factors gamma branch(x).
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x, Onto<Ctx> const& onto) const {
    check_module_concept<Branch, Ctx, X>();
    using Branched = OutputOf<Branch, Ctx, X>;
    using Input = detail::ConstLike<Ctx, Branched>;
    using Kept = Tape<TapeOf<Branch, Ctx, X>, LayerScale::Tape<Ctx, Input>>;
    using Result = Forward<detail::Like<Ctx, Branched>, Kept>;
    if constexpr (requires { branch_.forward(ctx, x, onto); }) {
      if (!scale_) {
        auto [y, branch_tape] = branch_.forward(ctx, x, onto);
        return Result{y, {std::move(branch_tape), {}}};
      }
    }
    ATTN_CHECK(scale_, "Scaled: give a LayerScale, or a branch that offers forward(ctx, x, attn::nn::Onto)");
    detail::Like<Ctx, Branched> const y = ctx.tensor(x.extents());
    typename Ctx::Scratch const scratch(ctx);
    auto [branched, branch_tape] = branch_.forward(ctx, x);
    ATTN_CHECK(branched.extents() == y.extents(), "Scaled: give a branch whose output has the shape of its input");
    Kept kept{std::move(branch_tape), {}};
    if constexpr (Real<AccumulatorOf<typename Ctx::Scalar>>)
      kept.scale = scale_->multiply(ctx, Input(branched), onto, y);
    return Result{y, std::move(kept)};
  }

  template <class Ctx, class BranchTape, class ScaleTape, class D>
  auto backward(Ctx& ctx, Tape<BranchTape, ScaleTape>&& tape, D const& d_y) const {
    if constexpr (Real<AccumulatorOf<typename Ctx::Scalar>>) {
      if (scale_) {
        auto const d = scale_->backward(ctx, std::move(tape.scale), d_y);
        return branch_.backward(ctx, std::move(tape.branch), d);
      }
    }
    return branch_.backward(ctx, std::move(tape.branch), d_y);
  }

  Branch const& branch() const { return branch_; }

 private:
  Branch branch_;
  std::optional<LayerScale> scale_;
};

}  // namespace attn::nn
