/// Heads of a two-stage detector: what they say of anchors, of boxes, and of the pixels in boxes.
#pragma once

#include "attn/detection/proposals.hpp"
#include "attn/nn/branches.hpp"
#include "attn/nn/convolution.hpp"
#include "attn/nn/convolutional_patch_embedding.hpp"
#include "attn/nn/function.hpp"
#include "attn/nn/linear.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/nn/stack.hpp"
#include "attn/nn/transposed_convolution.hpp"

#include <concepts>
#include <vector>

namespace attn::detection {

/// Maps (B, H_l, W_l, width) of a pyramid -> logits and codes of `shapes` anchors a pixel, map by map: a 3 x 3
/// convolution and ReLU, then a 1 x 1 convolution for each. The same weights serve all maps (Ren et al. 2015).
/// Parameters rpn_conv, rpn_cls and rpn_reg, as mmdetection's RPNHead has them.
class ProposalHead {
 public:
  struct Config {
    Index width = 256;
    Index shapes = 3;
  };
  using Net =
      nn::Sequential<nn::Convolution, nn::Pointwise<nn::Relu>, nn::Concatenation<nn::Convolution, nn::Convolution>>;
  template <class Ctx>
  using Scores = AnchorScores<typename Ctx::Scalar, typename Ctx::MemorySpace>;
  template <class Ctx>
  using ConstScores = AnchorScores<typename Ctx::Scalar const, typename Ctx::MemorySpace>;
  template <class Ctx>
  struct Tape {
    std::vector<nn::TapeOf<Net, Ctx, nn::ConstMapsOf<Ctx>>> nets;
    std::vector<Extents<4>> maps;
  };

  ProposalHead(nn::Builder const& builder, Config const& c)
      : shapes_(c.shapes),
        net_{convolution(builder / "rpn_conv", c.width, c.width, 3), nn::Pointwise<nn::Relu>(),
             nn::Concatenation<nn::Convolution, nn::Convolution>{
                 convolution(builder / "rpn_cls", c.width, c.shapes, 1),
                 convolution(builder / "rpn_reg", c.width, 4 * c.shapes, 1)}} {}

  template <class Ctx, class X>
  nn::Forward<Scores<Ctx>, Tape<Ctx>> forward(Ctx& ctx, std::vector<X> const& maps) const {
    ATTN_CHECK(!maps.empty(), "ProposalHead::forward: give at least one map");
    Index const images = maps[0].extent(0);
    Index anchors = 0;
    for (auto const& map : maps) anchors += map.extent(1) * map.extent(2) * shapes_;
    Scores<Ctx> const scores{ctx.tensor(images, anchors), ctx.tensor(images, anchors, 4)};
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape;
    Index first = 0;
    for (auto const& map : maps) {
      auto [y, kept] = net_.forward(ctx, nn::ConstMapsOf<Ctx>(map));
      copy_scores(ctx, scores, y, first, true);
      tape.nets.push_back(std::move(kept));
      tape.maps.push_back(map.extents());
      first += y.extent(1) * y.extent(2) * shapes_;
    }
    if (!ctx.keeps_tape()) tape = {};
    return {scores, std::move(tape)};
  }

  template <class Ctx>
  std::vector<nn::MapsOf<Ctx>> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstScores<Ctx> const& d_scores) const {
    ATTN_CHECK(!tape.maps.empty(),
               "ProposalHead::backward: run forward with ctx.training or ctx.keep_tape switched on, "
               "and use each tape once");
    std::vector<nn::MapsOf<Ctx>> d_maps;
    Index first = 0;
    for (std::size_t l = 0; l < tape.maps.size(); ++l) {
      auto const& e = tape.maps[l];
      auto const d_y = ctx.tensor(e[0], e[1], e[2], 5 * shapes_);
      copy_scores(ctx, d_scores, d_y, first, false);
      d_maps.push_back(net_.backward(ctx, std::move(tape.nets[l]), d_y));
      first += e[1] * e[2] * shapes_;
    }
    tape = {};
    return d_maps;
  }

 private:
  static nn::Convolution convolution(nn::Builder const& builder, Index inputs, Index outputs, Index kernel) {
    return nn::Convolution(builder, {.inputs = inputs,
                                     .outputs = outputs,
                                     .kernel = kernel,
                                     .padding = kernel / 2,
                                     .initial = nn::normal(0.01),
                                     .initial_bias = nn::zeros()});
  }

  /// Between one map's y (B, H, W, shapes + 4 shapes) and its part of the scores, from anchor `first` on.
  template <class Ctx, class S>
  void copy_scores(Ctx& ctx, S const& scores, nn::MapsOf<Ctx> const& y, Index first, bool to_scores) const {
    using T = typename Ctx::Scalar;
    Index const pixels = y.extent(1) * y.extent(2), anchors = scores.logits.extent(1);
    for (Index b = 0; b < y.extent(0); ++b) {
      for (Index k : {Index(1), Index(4)}) {
        auto* const flat = (k == 1 ? scores.logits.data() : scores.codes.data()) + k * (b * anchors + first);
        T* const of_map = y.data() + b * pixels * 5 * shapes_ + (k == 1 ? 0 : shapes_);
        Index const flat_stride = k * shapes_, map_stride = 5 * shapes_;
        if (to_scores) {
          if constexpr (std::same_as<decltype(flat), T* const>) {
            elementwise<T>(ctx.exec, "attn::ProposalHead", pixels, k * shapes_,
                           CopyMatrix<T, T>{of_map, flat, map_stride, flat_stride});
          }
        } else {
          elementwise<T>(ctx.exec, "attn::ProposalHead::backward", pixels, k * shapes_,
                         CopyMatrix<T, T>{flat, of_map, flat_stride, map_stride});
        }
      }
    }
  }

  Index shapes_;
  Net net_;
};

/// What a box head says of each region.
template <class T, class Memory>
struct BoxScores {
  Tensor<T, 2, Memory> logits;  ///< (R, classes + 1): the last one stands for nothing
  Tensor<T, 2, Memory> codes;   ///< (R, 4 classes): of the box, if it is of that class
  static constexpr auto tensors = std::tuple(&BoxScores::logits, &BoxScores::codes);

  template <std::same_as<T const> U>
  requires(!std::is_const_v<T>) operator BoxScores<U, Memory>() const { return {logits, codes}; }
};

/// x (R, H, W, C) -> y (R, C H W), channel by channel: what linear layers of published weights read.
struct ChannelsFirst {
  struct Tape {
    Extents<4> extents{};
  };
  template <class Ctx, nn::FeatureMaps X>
  nn::Forward<nn::TensorOf<Ctx, 2>, Tape> forward(Ctx& ctx, X const& x) const {
    auto const y = ctx.tensor(x.extent(0), x.extent(1) * x.extent(2) * x.extent(3));
    move(ctx, nn::ConstMapsOf<Ctx>(x).data(), y.data(), x.extents(), false);
    return {y, {x.extents()}};
  }
  template <class Ctx>
  nn::MapsOf<Ctx> backward(Ctx& ctx, Tape&& tape, nn::ConstTensorOf<Ctx, 2> d_y) const {
    auto const d_x = ctx.tensor(tape.extents);
    move(ctx, d_y.data(), d_x.data(), tape.extents, true);
    return d_x;
  }

 private:
  template <class Ctx, class T>
  static void move(Ctx& ctx, T const* from, T* to, Extents<4> const& e, bool to_maps) {
    detail::for_each(ctx.exec, "attn::ChannelsFirst", e[0] * e[1] * e[2],
                     nn::detail::MovePixel<T>{from, to, e[3], e[1] * e[2], to_maps});
  }
};

/// x (R, size, size, width): what lies in boxes -> of which class each is, and where its box really is: two linear
/// layers with ReLU that both share, then one each. Parameters shared_fcs.0, shared_fcs.1, fc_cls and fc_reg, as
/// mmdetection's Shared2FCBBoxHead has them.
class BoxHead {
 public:
  struct Config {
    Index width = 256;
    Index size = 7;
    Index hidden = 1024;
    Index classes = 80;
  };
  using Relu = nn::Pointwise<nn::Relu>;
  using Shared = nn::Sequential<ChannelsFirst, nn::Linear, Relu, nn::Linear, Relu>;
  template <class Ctx>
  struct Tape {
    nn::TapeOf<Shared, Ctx, nn::ConstMapsOf<Ctx>> shared;
    nn::Linear::Tape<nn::ConstTensorOf<Ctx, 2>> hidden = {};
  };
  template <class Ctx>
  using Scores = BoxScores<typename Ctx::Scalar, typename Ctx::MemorySpace>;
  template <class Ctx>
  using ConstScores = BoxScores<typename Ctx::Scalar const, typename Ctx::MemorySpace>;

  BoxHead(nn::Builder const& builder, Config const& c)
      : shared_{ChannelsFirst(), linear(builder / "shared_fcs" / 0, c.size * c.size * c.width, c.hidden), Relu(),
                linear(builder / "shared_fcs" / 1, c.hidden, c.hidden), Relu()},
        classes_(linear(builder / "fc_cls", c.hidden, c.classes + 1, nn::normal(0.01))),
        codes_(linear(builder / "fc_reg", c.hidden, 4 * c.classes, nn::normal(0.001))) {}

  template <class Ctx, nn::FeatureMaps X>
  nn::Forward<Scores<Ctx>, Tape<Ctx>> forward(Ctx& ctx, X const& x) const {
    Scores<Ctx> const scores{ctx.tensor(x.extent(0), classes_.outputs()), ctx.tensor(x.extent(0), codes_.outputs())};
    typename Ctx::Scratch const scratch(ctx);
    auto [hidden, shared] = shared_.forward(ctx, nn::ConstMapsOf<Ctx>(x));
    classes_.multiply(ctx, hidden, scores.logits);
    codes_.multiply(ctx, hidden, scores.codes);
    Tape<Ctx> tape{std::move(shared), {hidden}};
    if (!ctx.keeps_tape()) tape = {};
    return {scores, std::move(tape)};
  }

  template <class Ctx>
  nn::MapsOf<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstScores<Ctx> const& d_scores) const {
    using T = typename Ctx::Scalar;
    nn::detail::check_tape("BoxHead::backward", tape.hidden.x);
    auto const hidden = tape.hidden.x;
    auto const d_hidden = ctx.tensor(hidden.extents()), d_of_codes = ctx.tensor(hidden.extents());
    classes_.add_gradients(ctx, hidden, d_scores.logits);
    codes_.add_gradients(ctx, hidden, d_scores.codes);
    classes_.pull_back(ctx, d_scores.logits, d_hidden);
    codes_.pull_back(ctx, d_scores.codes, d_of_codes);
    elementwise<T>(ctx.exec, "attn::BoxHead::backward", 1, d_hidden.size(),
                   AddMatrices<T>{d_hidden.data(), d_of_codes.data(), d_hidden.data(), 0});
    return shared_.backward(ctx, std::move(tape.shared), d_hidden);
  }

 private:
  static nn::Linear linear(nn::Builder const& builder, Index inputs, Index outputs,
                           std::optional<nn::Initializer> initial = {}) {
    return nn::Linear(builder, {.inputs = inputs,
                                .outputs = outputs,
                                .initial = initial.value_or(nn::xavier_uniform(inputs, outputs)),
                                .initial_bias = nn::zeros()});
  }

  Shared shared_;
  nn::Linear classes_, codes_;
};

/// x (R, S, S, inputs): what lies in boxes -> logits (R, 2 S, 2 S, classes): whether a pixel belongs to an object of a
/// class: convolutions 3 x 3 with ReLU, one that doubles the size with ReLU, and one for the classes (He et al. 2017).
/// Parameters convs.I.conv, upsample and conv_logits, as mmdetection's FCNMaskHead has them.
class MaskHead {
 public:
  struct Config {
    Index width = 256;  ///< of the maps and of all convolutions
    Index depth = 4;    ///< convolutions of one size
    Index classes = 80;
  };
  using Relu = nn::Pointwise<nn::Relu>;
  using Layer = nn::Sequential<nn::Convolution, Relu>;
  using Net = nn::Sequential<nn::Stack<Layer>, nn::TransposedConvolution, Relu, nn::Convolution>;
  template <class Ctx>
  using Tape = nn::TapeOf<Net, Ctx, nn::ConstMapsOf<Ctx>>;

  MaskHead(nn::Builder const& builder, Config const& c)
      : net_{nn::Stack<Layer>(layers(builder, c)),
             nn::TransposedConvolution(builder / "upsample", {.inputs = c.width,
                                                              .outputs = c.width,
                                                              .kernel = 2,
                                                              .stride = 2,
                                                              .initial = he_normal(c.width * 4),
                                                              .initial_bias = nn::zeros()}),
             Relu(),
             nn::Convolution(builder / "conv_logits", {.inputs = c.width,
                                                       .outputs = c.classes,
                                                       .kernel = 1,
                                                       .initial = he_normal(c.classes),
                                                       .initial_bias = nn::zeros()})} {}

  template <class Ctx, nn::FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    return net_.forward(ctx, nn::ConstMapsOf<Ctx>(x));
  }
  template <class Ctx, class NetTape>
  auto backward(Ctx& ctx, NetTape&& tape, nn::ConstMapsOf<Ctx> d_y) const {
    return net_.backward(ctx, std::move(tape), d_y);
  }

 private:
  static nn::Initializer he_normal(Index fan_out) { return nn::normal(std::sqrt(2.0 / double(fan_out))); }
  static std::vector<Layer> layers(nn::Builder const& builder, Config const& c) {
    std::vector<Layer> all;
    for (Index i = 0; i < c.depth; ++i) {
      all.push_back(Layer{nn::Convolution(builder / "convs" / i / "conv", {.inputs = c.width,
                                                                           .outputs = c.width,
                                                                           .kernel = 3,
                                                                           .padding = 1,
                                                                           .initial = he_normal(c.width * 9),
                                                                           .initial_bias = nn::zeros()}),
                          Relu()});
    }
    return all;
  }

  Net net_;
};

}  // namespace attn::detection
