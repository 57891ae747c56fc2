/// PackedAttention: attention of a sequence to itself or to another one, with the three input projections in one
/// matrix.
#pragma once

#include "attn/attention/attention.hpp"
#include "attn/linalg/gemm.hpp"
#include "attn/linalg/reduce.hpp"
#include "attn/nn/detail/module_activation.hpp"
#include "attn/nn/linear.hpp"

#include <array>
#include <string>
#include <utility>

namespace attn::nn {

namespace detail {

/// y = source + y + b on rows of reals; of jets, only values have the bias.
template <class R>
struct AddBiasAndRows {
  R* y;
  R const* bias;
  R const* source;
  Index y_stride, source_stride, value_rows;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    R* const at = y + row * y_stride + column;
    auto value = lanes.load(at) + lanes.load(source + row * source_stride + column);
    if (row < value_rows) value += lanes.load(bias + column);
    lanes.store(at, value);
  }
};

/// y (rows, outputs) = source + x W^T + b, for tensors of reals or jets.
template <class Ctx>
void multiply_onto(Ctx& ctx, Linear const& linear, ConstTensorOf<Ctx, 2> x, ConstTensorOf<Ctx, 2> source,
                   TensorOf<Ctx, 2> y) {
  auto const to = real_rows(y);
  auto const from = real_rows(source);
  linear.multiply(ctx, x, y,
                  AddBiasAndRows<typename Ctx::Real>{to.data(), linear.bias(ctx), from.data(), to.stride(0),
                                                     from.stride(0), value_rows(y).extent(0)});
}

}  // namespace detail

/// Parameters in the layout of the common frameworks: in_proj_weight (3 width, width), whose rows make q, k and v;
/// in_proj_bias; out_proj.weight, out_proj.bias; for a `LearnableActivation` also activation.<name>, (1) or (heads).
template <class A>
class PackedAttention {
 public:
  struct Config {
    Index width = 0;
    Index heads = 1;
    Index tokens = 1;  ///< keys that an activation's trained number is initialised for
    A activation = {};
    bool scale_per_head = false;              ///< one trained number for each head
    Initializer initial = fan_in_uniform(1);  ///< of out_proj.weight
    Initializer initial_bias = zeros();       ///< of out_proj.bias
  };

  template <class Ctx>
  using BoundSaved = attn::Saved<detail::BoundIn<Ctx, A>, typename Ctx::Scalar, typename Ctx::MemorySpace>;

  template <class Ctx>
  struct Tape {
    ConstTensorOf<Ctx, 3> x, memory;    // (B, N, C), (B, M, C); the same tensor in self-attention
    TensorOf<Ctx, 3> projected;         // self: (B, N, 3 C); else q (B, N, C)
    TensorOf<Ctx, 3> projected_memory;  // else k and v: (B, M, 2 C)
    TensorOf<Ctx, 3> attended;          // (B, N, C)
    BoundSaved<Ctx> saved;
    bool is_self = true;
  };

  /// Gradients of both inputs; of self-attention, `d_memory` is empty and its part is in d_x.
  template <class Ctx>
  struct Gradients {
    TensorOf<Ctx, 3> d_x, d_memory;
  };

  PackedAttention(Builder const& builder, Config const& config)
      : config_(checked(config)),
        weight_(builder.add<2>("in_proj_weight", {3 * config.width, config.width},
                               xavier_uniform(config.width, 3 * config.width))),
        bias_(builder.add<1>("in_proj_bias", {3 * config.width}, zeros())),
        out_(builder / "out_proj", {.inputs = config.width,
                                    .outputs = config.width,
                                    .initial = config.initial,
                                    .initial_bias = config.initial_bias}),
        activation_(builder, config.activation, config.heads, config.tokens, config.scale_per_head) {}

  /// source + attention of x (B, N, C) to itself -> (B, N, C).
  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> source) const {
    return forward(ctx, x, x, source, true);
  }
  /// source + attention of x (B, N, C) to memory (B, M, C) -> (B, N, C).
  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> memory,
                                               ConstTensorOf<Ctx, 3> source) const {
    return forward(ctx, x, memory, source, false);
  }

  /// The gradients of x and memory from that of y; that of `source` is d_y itself.
  template <class Ctx>
  Gradients<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    detail::check_tape("PackedAttention::backward", tape.x);
    Gradients<Ctx> result{ctx.tensor(tape.x.extents()), {}};
    if (!tape.is_self) result.d_memory = ctx.tensor(tape.memory.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    Index const c = config_.width;

    out_.add_gradients(ctx, tape.attended.rows(), d_y.rows());
    auto const d_attended = ctx.tensor(d_y.extents());
    out_.pull_back(ctx, d_y.rows(), d_attended.rows());

    auto const d_projected = ctx.tensor(tape.projected.extents());
    auto const d_projected_memory = tape.is_self ? TensorOf<Ctx, 3>() : ctx.tensor(tape.projected_memory.extents());
    auto const [q, k, v] = parts(tape.projected, tape.projected_memory, tape.is_self);
    auto const [d_q, d_k, d_v] = parts(d_projected, d_projected_memory, tape.is_self);
    activation_.bind_gradients(ctx, [&, q = q, k = k, v = v, d_q = d_q, d_k = d_k, d_v = d_v](auto const& activation) {
      attn::attention_backward(ctx.exec, activation, heads(q), heads(k), heads(v), heads(tape.attended), tape.saved,
                               heads(d_attended), heads(d_q), heads(d_k), heads(d_v));
    });
    if (tape.is_self) {
      pull_back(ctx, tape.x, d_projected, 0, 3 * c, result.d_x);
    } else {
      pull_back(ctx, tape.x, d_projected, 0, c, result.d_x);
      pull_back(ctx, tape.memory, d_projected_memory, c, 3 * c, result.d_memory);
    }
    return result;
  }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.width > 0 && c.heads > 0 && c.width % c.heads == 0,
               "PackedAttention: make the width a multiple of the heads, got width ", c.width, " and ", c.heads,
               " heads");
    return c;
  }

  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> memory,
                                               ConstTensorOf<Ctx, 3> source, bool is_self) const {
    ATTN_CHECK(x.extent(2) == config_.width && memory.extent(2) == config_.width && x.extent(0) == memory.extent(0),
               "PackedAttention::forward: give tensors of width ", config_.width, " and the same batch, got widths ",
               x.extent(2), " and ", memory.extent(2), ", batches ", x.extent(0), " and ", memory.extent(0));
    Index const batch = x.extent(0), n = x.extent(1), m = memory.extent(1), c = config_.width;
    auto const y = ctx.tensor(x.extents());
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape{x, memory, ctx.tensor(batch, n, is_self ? 3 * c : c), {}, ctx.tensor(batch, n, c), {}, is_self};
    multiply(ctx, x, 0, is_self ? 3 * c : c, tape.projected);
    if (!is_self) {
      tape.projected_memory = ctx.tensor(batch, m, 2 * c);
      multiply(ctx, memory, c, 3 * c, tape.projected_memory);
    }
    auto const activation = activation_.bind(ctx);
    tape.saved = BoundSaved<Ctx>(ctx.workspace, activation, batch, config_.heads, n);
    auto const [q, k, v] = parts(tape.projected, tape.projected_memory, is_self);
    attn::attention(ctx.exec, activation, heads(q), heads(k), heads(v), heads(tape.attended), tape.saved);
    detail::multiply_onto(ctx, out_, tape.attended.rows(), source.rows(), y.rows());
    if (!ctx.keeps_tape()) tape = {};
    return {y, tape};
  }

  /// y = x W^T + b with the rows first ... last - 1 of the packed weight.
  template <class Ctx>
  void multiply(Ctx& ctx, ConstTensorOf<Ctx, 3> x, Index first, Index last, TensorOf<Ctx, 3> y) const {
    using R = typename Ctx::Real;
    auto const to = real_rows(y.rows());
    linalg::gemm(ctx.exec, 1, real_rows(x.rows()), ctx.parameters.value(weight_).slice(0, first, last).transpose(0, 1),
                 0, to,
                 detail::AddBias<R>{to.data(), ctx.parameters.value(bias_).data() + first, to.stride(0),
                                    value_rows(y.rows()).extent(0)});
  }

  /// forward: y = x W^T + b; hence d_W += d_y^T x, d_b += sum of the rows of d_y, d_x = d_y W.
  template <class Ctx>
  void pull_back(Ctx& ctx, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> d_y, Index first, Index last,
                 TensorOf<Ctx, 3> d_x) const {
    auto const d = real_rows(d_y.rows());
    linalg::gemm(ctx.exec, 1, d.transpose(0, 1), real_rows(x.rows()), 1,
                 ctx.parameters.gradient(weight_).slice(0, first, last));
    linalg::column_sums(ctx.exec, value_rows(d_y.rows()), 1, ctx.parameters.gradient(bias_).slice(0, first, last));
    linalg::gemm(ctx.exec, 1, d, ctx.parameters.value(weight_).slice(0, first, last), 0, real_rows(d_x.rows()));
  }

  /// q, k and v in place.
  template <class X>
  std::array<X, 3> parts(X const& projected, X const& projected_memory, bool is_self) const {
    Index const c = config_.width;
    if (is_self) return {projected.slice(2, 0, c), projected.slice(2, c, 2 * c), projected.slice(2, 2 * c, 3 * c)};
    return {projected, projected_memory.slice(2, 0, c), projected_memory.slice(2, c, 2 * c)};
  }

  /// (B, N, C) of any strides -> (B, H, N, C / H).
  template <class T, class Memory>
  Tensor<T, 4, Memory> heads(Tensor<T, 3, Memory> const& x) const {
    Index const width = config_.width / config_.heads;
    Extents<4> const extents{x.extent(0), config_.heads, x.extent(1), width};
    Extents<4> const strides{x.stride(0), width, x.stride(1), 1};
    if constexpr (AnyJet<std::remove_const_t<T>>) {
      auto const one = x.first_plane();
      return {{one.data(), extents, strides}, x.plane_stride(), x.planes()};
    } else {
      return {x.data(), extents, strides};
    }
  }

  Config config_;
  Parameter<2> weight_;
  Parameter<1> bias_;
  Linear out_;
  detail::ModuleActivation<A> activation_;
};

}  // namespace attn::nn
