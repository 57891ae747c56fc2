/// What a PINNsFormer is made of besides attention: its feed-forward parts, and sums of tensors of reals or jets.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/nn/linear.hpp"
#include "attn/nn/wave.hpp"

#include <utility>

namespace attn::models::detail {

/// What all linear layers start from.
inline nn::Linear::Config pinnsformer_linear(Index inputs, Index outputs) {
  return {.inputs = inputs,
          .outputs = outputs,
          .initial = nn::xavier_uniform(inputs, outputs),
          .initial_bias = nn::constant(0.01)};
}

/// Linear, Wave, Linear, Wave, Linear: names 0 ... 4.
class WaveMlp {
 public:
  template <class Ctx>
  struct Tape {
    nn::Linear::Tape<nn::ConstTensorOf<Ctx, 3>> linear[3];
    nn::Wave::Tape<nn::ConstTensorOf<Ctx, 3>> wave[2];
  };

  WaveMlp(nn::Builder const& builder, Index inputs, Index hidden, Index outputs)
      : first_(builder / 0, pinnsformer_linear(inputs, hidden)),
        wave1_(builder / 1),
        second_(builder / 2, pinnsformer_linear(hidden, hidden)),
        wave2_(builder / 3),
        third_(builder / 4, pinnsformer_linear(hidden, outputs)) {}

  /// x (B, N, inputs) -> (B, N, outputs), added to `source` where that has data.
  template <class Ctx>
  nn::Forward<nn::TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, nn::ConstTensorOf<Ctx, 3> x,
                                                       nn::ConstTensorOf<Ctx, 3> source) const {
    auto const y = ctx.tensor(x.extent(0), x.extent(1), third_.outputs());
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape;
    auto [z1, tape0] = first_.forward(ctx, x);
    auto [a1, tape1] = wave1_.forward(ctx, z1);
    auto [z2, tape2] = second_.forward(ctx, a1);
    auto [a2, tape3] = wave2_.forward(ctx, z2);
    if (source.data() == nullptr) {
      third_.multiply(ctx, a2.rows(), y.rows());
    } else {
      third_.multiply_onto(ctx, a2.rows(), source.rows(), y.rows());
    }
    if (ctx.keeps_tape()) tape = {{tape0, tape2, {a2}}, {tape1, tape3}};
    return {y, tape};
  }

  template <class Ctx>
  nn::TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<Ctx>&& tape, nn::ConstTensorOf<Ctx, 3> d_y) const {
    auto const& x = tape.linear[0].x;
    auto const d_x = ctx.tensor(x.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_a2 = third_.backward(ctx, std::move(tape.linear[2]), d_y);
    auto const d_z2 = wave2_.backward(ctx, std::move(tape.wave[1]), d_a2);
    auto const d_a1 = second_.backward(ctx, std::move(tape.linear[1]), d_z2);
    auto const d_z1 = wave1_.backward(ctx, std::move(tape.wave[0]), d_a1);
    first_.add_gradients(ctx, x.rows(), d_z1.rows());
    first_.pull_back(ctx, d_z1.rows(), d_x.rows());
    return d_x;
  }

 private:
  nn::Linear first_;
  nn::Wave wave1_;
  nn::Linear second_;
  nn::Wave wave2_;
  nn::Linear third_;
};

/// a + b, all planes.
template <class Ctx>
nn::TensorOf<Ctx, 3> add(Ctx& ctx, nn::ConstTensorOf<Ctx, 3> a, nn::ConstTensorOf<Ctx, 3> b) {
  auto const c = ctx.tensor(a.extents());
  auto const rows = real_rows(c.rows());
  elementwise<typename Ctx::Real>(
      ctx.exec, "attn::PinnsFormer::add", rows.extent(0), rows.extent(1),
      AddMatrices<typename Ctx::Real>{real_rows(a.rows()).data(), real_rows(b.rows()).data(), rows.data(),
                                      rows.stride(0)});
  return c;
}

}  // namespace attn::models::detail
