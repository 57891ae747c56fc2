/// SequenceBlock: a transformer layer on packed sequences, under the names of the published code of Nystromformer.
#pragma once

#include "attn/nn/attention.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/residual.hpp"

#include <utility>

namespace attn::nn {

/// x + dropout(ff(core(W_q n, W_k n, W_v n))) with n = norm1(x), then x + mlp(norm2(x)), on the rows of packed
/// sequences as one sample (1, rows, C). Names: norm1, mha.{W_q, W_k, W_v, attn, ff}, norm2, mlpblock.{0, 3}. `Core` is
/// `NystromAttention`, `SequenceAttention` or another core of `Attention`.
template <class Core>
class SequenceBlock {
  using Branch = Attention<ThreeMatrices, Core>;
  using First = Residual<LayerNorm, Branch>;
  using Second = Residual<LayerNorm, Mlp<Gelu>>;

 public:
  struct Config {
    Index hidden = 0;  ///< of the MLP
    double dropout = 0;
    double epsilon = 1e-5;
    typename Branch::Config attention = {};  ///< its width is that of the block
  };

  template <class Ctx>
  struct Tape {
    TapeOf<First, Ctx, ConstTensorOf<Ctx, 3>> attention;
    TapeOf<Second, Ctx, ConstTensorOf<Ctx, 3>> mlp;
  };

  SequenceBlock(Builder const& builder, Config const& c)
      : attention_{LayerNorm(builder / "norm1", {.width = c.attention.width, .epsilon = c.epsilon}),
                   Branch(builder / "mha", c.attention, Dropout(builder / "dropout1", c.dropout))},
        mlp_{LayerNorm(builder / "norm2", {.width = c.attention.width, .epsilon = c.epsilon}),
             make_mlp(builder / "mlpblock", c.attention.width, c)} {}

  /// x (1, rows, C) -> y (1, rows, C), of the packed sequences of the call (`WithSequences`).
  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, ConstTensorOf<Ctx, 3> x) const {
    auto [middle, first] = attention_.forward(ctx, x);
    auto [y, second] = mlp_.forward(ctx, ConstTensorOf<Ctx, 3>(middle));
    return {y, {std::move(first), std::move(second)}};
  }

  template <class Ctx>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    auto const d = mlp_.backward(ctx, std::move(tape.mlp), d_y);
    return attention_.backward_in_place(ctx, std::move(tape.attention), d);
  }

  /// Turns the gradient of y into that of x.
  template <class Ctx>
  TensorOf<Ctx, 3> backward_in_place(Ctx& ctx, Tape<Ctx>&& tape, TensorOf<Ctx, 3> d) const {
    mlp_.backward_in_place(ctx, std::move(tape.mlp), d);
    return attention_.backward_in_place(ctx, std::move(tape.attention), d);
  }

  Branch const& attention() const { return attention_.branch(); }

 private:
  static Mlp<Gelu> make_mlp(Builder const& builder, Index width, Config const& c) {
    auto const layer = [](Builder const& at, Index inputs, Index outputs) {
      return Linear(at, {.inputs = inputs,
                         .outputs = outputs,
                         .initial = fan_in_uniform(inputs),
                         .initial_bias = fan_in_uniform(inputs)});
    };
    return {Gelu(), layer(builder / "0", width, c.hidden), Dropout(builder / "2", c.dropout),
            layer(builder / "3", c.hidden, width), Dropout(builder / "4", c.dropout)};
  }

  First attention_;
  Second mlp_;
};

}  // namespace attn::nn
