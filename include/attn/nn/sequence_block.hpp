/// SequenceBlock: a transformer layer on packed sequences, around any core of attention.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/nn/function.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/packed_sequences.hpp"

#include <utility>

namespace attn::nn {

namespace detail {

/// (rows, C) as (1, rows, C), and back.
template <class T, class Memory>
Tensor<T, 3, Memory> as_sample(Tensor<T, 2, Memory> const& x) {
  return x.template reshape<3>({1, x.extent(0), x.extent(1)});
}

}  // namespace detail

/// x + dropout(ff(core(W_q n, W_k n, W_v n))) with n = norm1(x), then x + mlp(norm2(x)), on rows (rows, C) of packed
/// sequences. Names are those of the published code of Nystromformer: norm1, mha.{W_q, W_k, W_v, attn, ff}, norm2,
/// mlpblock.{0, 3}. `Core` is `NystromAttention`, `SequenceAttention` or a class with their interface.
template <class Core>
class SequenceBlock {
 public:
  struct Config {
    Index hidden = 0;  ///< of the MLP
    double dropout = 0;
    double epsilon = 1e-5;
    typename Core::Config attention = {};  ///< its width is that of the block
  };

  template <class Ctx>
  struct Tape {
    using Norm = TapeOf<LayerNorm, Ctx, ConstTensorOf<Ctx, 2>>;
    Norm norm1, norm2;
    ConstTensorOf<Ctx, 2> normal1, normal2;  // (rows, C)
    typename Core::template Tape<Ctx> core;
    TensorOf<Ctx, 2> attended, hidden, slope;
    Linear::Ending<Ctx> ending1, ending2;
  };

  SequenceBlock(Builder const& builder, Config const& c)
      : SequenceBlock(builder, builder / "mha", c, c.attention.width) {}

  /// x (rows, C) -> y (rows, C).
  template <class Ctx>
  Forward<TensorOf<Ctx, 2>, Tape<Ctx>> forward(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences,
                                               ConstTensorOf<Ctx, 2> x) const {
    using T = typename Ctx::Scalar;
    auto const y = ctx.tensor(x.extents());
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape;
    auto const middle = ctx.tensor(x.extents());
    {
      auto [normal, norm] = norm1_.forward(ctx, x);
      tape.normal1 = normal, tape.norm1 = norm;
      auto const project = [&, normal = normal](Linear const& linear) {
        auto const to = ctx.tensor(x.extents());
        linear.multiply(ctx, normal, to);
        return to;
      };
      auto const q = project(w_q_), k = project(w_k_), v = project(w_v_);
      auto [attended, core] = core_.forward(ctx, sequences, q, k, v);
      tape.attended = attended;
      tape.core = std::move(core);
      tape.ending1 = ff_.finish(ctx, detail::as_sample(ConstTensorOf<Ctx, 2>(attended)), detail::as_sample(middle),
                                dropout1_, Onto<Ctx>{detail::as_sample(x), {}});
    }
    auto [normal, norm] = norm2_.forward(ctx, ConstTensorOf<Ctx, 2>(middle));
    tape.normal2 = normal, tape.norm2 = norm;
    tape.hidden = ctx.tensor(x.extent(0), fc1_.outputs());
    if (ctx.keeps_tape()) tape.slope = ctx.tensor(tape.hidden.extents());
    fc1_.multiply(ctx, normal, tape.hidden,
                  detail::Hidden<T, Gelu>{
                      {}, tape.hidden.data(), tape.slope.data(), fc1_.bias(ctx), dropout2_.mask(ctx), fc1_.outputs()});
    tape.ending2 = fc2_.finish(ctx, detail::as_sample(ConstTensorOf<Ctx, 2>(tape.hidden)), detail::as_sample(y),
                               dropout3_, Onto<Ctx>{detail::as_sample(ConstTensorOf<Ctx, 2>(middle)), {}});
    if (!ctx.keeps_tape()) tape = {};
    return {y, std::move(tape)};
  }

  /// Turns the gradient of y into that of x.
  template <class Ctx>
  void backward_in_place(Ctx& ctx, Tape<Ctx>&& tape, TensorOf<Ctx, 2> d) const {
    using T = typename Ctx::Scalar;
    using Const = ConstTensorOf<Ctx, 2>;
    detail::check_tape("SequenceBlock::backward_in_place", tape.slope);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const sum = ctx.tensor(d.extents());
    {  // forward: y = middle + fc2(gelu(fc1(norm2(middle))))
      typename Workspace<typename Ctx::MemorySpace>::Scope const inner(ctx.workspace);
      auto const d_end = fc2_.unfinish(ctx, tape.ending2, detail::as_sample(Const(d))).rows();
      fc2_.add_gradients(ctx, tape.hidden, d_end);
      auto const d_hidden = ctx.tensor(tape.hidden.extents());
      fc2_.pull_back(ctx, d_end, d_hidden, detail::TimesSlope<T>{d_hidden.data(), tape.slope.data(), fc1_.outputs()});
      fc1_.add_gradients(ctx, tape.normal2, d_hidden);
      fc1_.pull_back(ctx, d_hidden, sum);
      norm2_.backward_add(ctx, std::move(tape.norm2), Const(sum), d);
    }
    // forward: middle = x + ff(core(W_q n, W_k n, W_v n))
    auto const d_end = ff_.unfinish(ctx, tape.ending1, detail::as_sample(Const(d))).rows();
    ff_.add_gradients(ctx, tape.attended, d_end);
    auto const d_attended = ctx.tensor(d.extents());
    ff_.pull_back(ctx, d_end, d_attended);
    TensorOf<Ctx, 2> const d_q = ctx.tensor(d.extents()), d_k = ctx.tensor(d.extents()), d_v = ctx.tensor(d.extents());
    core_.backward(ctx, std::move(tape.core), d_attended, d_q, d_k, d_v);
    w_q_.add_gradients(ctx, tape.normal1, d_q);
    w_k_.add_gradients(ctx, tape.normal1, d_k);
    w_v_.add_gradients(ctx, tape.normal1, d_v);
    // d_normal = d_q W_q + d_k W_k + d_v W_v
    w_q_.pull_back(ctx, d_q, sum);
    w_k_.pull_back(ctx, d_k, d_attended,
                   AddMatrices<T>{d_attended.data(), sum.data(), d_attended.data(), sum.stride(0)});
    w_v_.pull_back(ctx, d_v, sum, AddMatrices<T>{sum.data(), d_attended.data(), sum.data(), sum.stride(0)});
    norm1_.backward_add(ctx, std::move(tape.norm1), Const(sum), d);
  }

  Core const& core() const { return core_; }

 private:
  static Linear::Config layer(Index inputs, Index outputs) {
    return {.inputs = inputs,
            .outputs = outputs,
            .initial = fan_in_uniform(inputs),
            .initial_bias = fan_in_uniform(inputs)};
  }

  SequenceBlock(Builder const& builder, Builder const& mha, Config const& c, Index width)
      : norm1_(builder / "norm1", {.width = width, .epsilon = c.epsilon}),
        w_q_(mha / "W_q", layer(width, width)),
        w_k_(mha / "W_k", layer(width, width)),
        w_v_(mha / "W_v", layer(width, width)),
        core_(mha / "attn", c.attention),
        ff_(mha / "ff", layer(width, width)),
        dropout1_(builder / "dropout1", c.dropout),
        norm2_(builder / "norm2", {.width = width, .epsilon = c.epsilon}),
        fc1_(builder / "mlpblock" / "0", layer(width, c.hidden)),
        dropout2_(builder / "mlpblock" / "2", c.dropout),
        fc2_(builder / "mlpblock" / "3", layer(c.hidden, width)),
        dropout3_(builder / "mlpblock" / "4", c.dropout) {}

  LayerNorm norm1_;
  Linear w_q_, w_k_, w_v_;
  Core core_;
  Linear ff_;
  Dropout dropout1_;
  LayerNorm norm2_;
  Linear fc1_;
  Dropout dropout2_;
  Linear fc2_;
  Dropout dropout3_;
};

}  // namespace attn::nn
