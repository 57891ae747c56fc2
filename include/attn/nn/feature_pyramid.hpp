/// FeaturePyramid: maps of several sizes, each told what the coarser ones know (Lin et al. 2017).
#pragma once

#include "attn/nn/convolution.hpp"
#include "attn/nn/max_pooling.hpp"
#include "attn/nn/resize.hpp"

#include <vector>

namespace attn::nn {

namespace detail {

/// to += from, of one shape.
template <class Ctx>
void add_maps(Ctx& ctx, ConstMapsOf<Ctx> const& from, MapsOf<Ctx> const& to) {
  using T = typename Ctx::Scalar;
  elementwise<T>(ctx.exec, "attn::add_maps", 1, to.size(), AddMatrices<T>{to.data(), from.data(), to.data(), 0});
}

}  // namespace detail

/// x_i (B, H_i, W_i, inputs_i), the finest first -> y_i (B, H_i, W_i, width), and `levels` maps in all, of which those
/// behind the last x have every second pixel of the one before:
///
///     lateral_i = conv 1 x 1 (x_i) + lateral_(i+1), enlarged to the size of x_i by its nearest pixels
///     y_i = conv 3 x 3 (lateral_i)
///
/// Parameters lateral_convs.I.conv.* and fpn_convs.I.conv.*, as mmdetection's FPN has them.
class FeaturePyramid {
 public:
  struct Config {
    std::vector<Index> inputs;  ///< channels of each x
    Index width = 256;
    Index levels = 5;
  };

  template <class Ctx>
  using Input = std::vector<ConstMapsOf<Ctx>>;
  template <class Ctx>
  using Output = std::vector<MapsOf<Ctx>>;

  template <class Ctx>
  struct Tape {
    std::vector<Convolution::Tape<Ctx>> laterals, outputs;
    std::vector<MaxPooling::Tape<Ctx>> coarser;
  };

  FeaturePyramid(Builder const& builder, Config const& c) : config_(c) {
    Index const n = Index(c.inputs.size());
    ATTN_CHECK(n > 0 && c.levels >= n && c.width > 0,
               "FeaturePyramid: give channels of at least one map, a width, and at least as many levels, got ", n,
               " maps, ", c.width, " and ", c.levels);
    auto const make = [&](char const* name, Index i, Index inputs, Index kernel) {
      return Convolution(builder / name / i / "conv",
                         {.inputs = inputs,
                          .outputs = c.width,
                          .kernel = kernel,
                          .padding = kernel / 2,
                          .initial = xavier_uniform(inputs * kernel * kernel, c.width * kernel * kernel),
                          .initial_bias = zeros()});
    };
    for (Index i = 0; i < n; ++i) laterals_.push_back(make("lateral_convs", i, c.inputs[std::size_t(i)], 1));
    for (Index i = 0; i < n; ++i) outputs_.push_back(make("fpn_convs", i, c.width, 3));
  }

  template <class Ctx, class X>
  Forward<Output<Ctx>, Tape<Ctx>> forward(Ctx& ctx, std::vector<X> const& x) const {
    ATTN_CHECK(x.size() == laterals_.size(), "FeaturePyramid::forward: give ", laterals_.size(), " maps, got ",
               x.size());
    Output<Ctx> y, lateral;
    Tape<Ctx> tape;
    for (std::size_t i = 0; i < x.size(); ++i) {
      auto [maps, kept] = laterals_[i].forward(ctx, ConstMapsOf<Ctx>(x[i]));
      lateral.push_back(maps);
      tape.laterals.push_back(kept);
    }
    for (std::size_t i = x.size(); i-- > 1;) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      detail::add_maps(ctx, enlarging(lateral[i - 1]).forward(ctx, lateral[i]).value, lateral[i - 1]);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      auto [maps, kept] = outputs_[i].forward(ctx, lateral[i]);
      y.push_back(maps);
      tape.outputs.push_back(kept);
    }
    while (Index(y.size()) < config_.levels) {
      auto [maps, kept] = coarser().forward(ctx, y.back());
      y.push_back(maps);
      tape.coarser.push_back(kept);
    }
    if (!ctx.keeps_tape()) tape = {};
    return {y, std::move(tape)};
  }

  template <class Ctx, class D>
  Output<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, std::vector<D> const& d_y) const {
    std::size_t const n = laterals_.size();
    ATTN_CHECK(tape.laterals.size() == n && Index(d_y.size()) == config_.levels,
               "FeaturePyramid::backward: run forward with ctx.training or ctx.keep_tape switched on, use each tape "
               "once, and give ",
               config_.levels, " gradients, got ", d_y.size());
    Output<Ctx> d_lateral, d_x;
    ConstMapsOf<Ctx> d_last = d_y.back();
    for (std::size_t i = d_y.size(); i-- > n;) {
      auto const d = coarser().backward(ctx, std::move(tape.coarser[i - n]), d_last);
      detail::add_maps(ctx, d_y[i - 1], d);
      d_last = d;
    }
    for (std::size_t i = 0; i < n; ++i) {
      ConstMapsOf<Ctx> const d = i + 1 == n ? d_last : ConstMapsOf<Ctx>(d_y[i]);
      d_lateral.push_back(outputs_[i].backward(ctx, std::move(tape.outputs[i]), d));
    }
    for (std::size_t i = 1; i < n; ++i) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      detail::add_maps(ctx, enlarging(d_lateral[i - 1]).backward(ctx, {d_lateral[i].extents()}, d_lateral[i - 1]),
                       d_lateral[i]);
    }
    for (std::size_t i = 0; i < n; ++i) {
      d_x.push_back(laterals_[i].backward(ctx, std::move(tape.laterals[i]), d_lateral[i]));
    }
    tape = {};
    return d_x;
  }

 private:
  template <class Maps>
  static Resize enlarging(Maps const& to) {
    return Resize({.size = map_size(to)});
  }
  static MaxPooling coarser() { return MaxPooling({.kernel = 1, .stride = 2}); }

  Config config_;
  std::vector<Convolution> laterals_, outputs_;
};

}  // namespace attn::nn
