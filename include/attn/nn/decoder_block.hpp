/// DecoderBlock: self-attention, attention to a memory and an MLP, each behind a norm and around a residual connection.
#pragma once

#include "attn/nn/function.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/multi_head_attention.hpp"
#include "attn/nn/residual.hpp"

namespace attn::nn {

namespace detail {

/// Attention to the memory of one call, as the branch of a residual connection.
template <class Ctx, class A>
struct ToMemory {
  A const* attention;
  ConstTensorOf<Ctx, 3> memory;
  TensorOf<Ctx, 3> d_memory = {};  // backward adds to it

  template <class... Ends>
  auto forward(Ctx& ctx, ConstTensorOf<Ctx, 3> x, Ends const&... onto) const {
    WithSequences<Ctx> const of_memory(ctx, {.lengths = ctx.sequences.memory_lengths});
    return attention->forward(ctx, ConstCrossOf<Ctx>{x, memory}, onto...);
  }

  template <class T>
  TensorOf<Ctx, 3> backward(Ctx& ctx, T&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    auto const d = attention->backward(ctx, std::move(tape), d_y);
    auto const from = real_rows(d.memory.rows()), to = real_rows(d_memory.rows());
    using E = typename std::remove_cvref_t<decltype(to)>::Scalar;
    elementwise<E>(ctx.exec, "attn::DecoderBlock::memory", to.extent(0), to.extent(1),
                   AddMatrices<E>{to.data(), from.data(), to.data(), to.stride(0)});
    return d.x;
  }
};

}  // namespace detail

/// x + self_attn(norm1(x)), then x + multihead_attn(norm2(x), memory), then x + linear2(f(linear1(norm3(x)))): the
/// block of a decoder (Vaswani et al. 2017) with the norms in front. Names are those of PyTorch's
/// nn.TransformerDecoderLayer with norm_first, whose weights load unchanged if both attentions are `PackedAttention`:
///
///     using Block = DecoderBlock<PackedAttention<Softmax, Causal>, PackedAttention<Softmax>>;
///
/// It maps x and the memory to the new x and the same memory, so blocks follow one another in a `Stack` or
/// `Sequential`; the gradient of the memory is the sum of theirs. Of padded memories, `memory_lengths` of the call
/// (`WithSequences`) tell the lengths to a mask `KeyPadding`.
template <class SelfAttention, class CrossAttention, class F = Gelu, class Norm = LayerNorm>
class DecoderBlock {
  using Mlp_ = Mlp<F>;

 public:
  struct Config {
    Index width = 0;
    Index heads = 1;
    Index hidden = 0;             ///< of the MLP
    Index tokens = 1;             ///< keys that trained numbers of the self-attention's activation are initialised for
    Index memory_tokens = 1;      ///< the same of the attention to the memory
    double dropout = 0;           ///< after both projections and in the MLP
    double stochastic_depth = 0;  ///< of each of the three branches
    double epsilon = 1e-5;        ///< of the norms
    typename SelfAttention::Activation activation = {};
    typename CrossAttention::Activation cross_activation = {};
    bool scale_per_head = false;
    Initializer initial = truncated_normal(0.02);
    typename SelfAttention::Settings core = {};
    typename CrossAttention::Settings cross_core = {};
  };

  template <class First, class Second, class Third>
  struct Tape {
    First self;
    Second cross;
    Third mlp;
    bool is_kept = false;
  };

  DecoderBlock(Builder const& builder, Config const& c)
      : self_{norm(builder / "norm1", c),
              attention<SelfAttention>(builder / "self_attn", c, c.activation, c.tokens, c.core),
              StochasticDepth(builder / "drop_path1", c.stochastic_depth)},
        norm_(norm(builder / "norm2", c)),
        cross_(attention<CrossAttention>(builder / "multihead_attn", c, c.cross_activation, c.memory_tokens,
                                         c.cross_core)),
        depth_(builder / "drop_path2", c.stochastic_depth),
        mlp_{norm(builder / "norm3", c), mlp(builder, c), StochasticDepth(builder / "drop_path3", c.stochastic_depth)} {
  }

  /// x (B, N, C) and memory (B, M, C) -> y (B, N, C) and the memory.
  template <class Ctx, class T>
  auto forward(Ctx& ctx, Cross<T, typename Ctx::MemorySpace> const& inputs) const {
    using Const = ConstTensorOf<Ctx, 3>;
    auto [first, self] = self_.forward(ctx, Const(inputs.x));
    auto [second, cross] = to_memory<Ctx>(inputs.memory).forward(ctx, Const(first));
    auto [y, mlp] = mlp_.forward(ctx, Const(second));
    return Forward<ConstCrossOf<Ctx>, Tape<decltype(self), decltype(cross), decltype(mlp)>>{
        {y, inputs.memory}, {std::move(self), std::move(cross), std::move(mlp), ctx.keeps_tape()}};
  }

  /// The gradients of both inputs from those of both outputs.
  template <class Ctx, class First, class Second, class Third, class T>
  CrossOf<Ctx> backward(Ctx& ctx, Tape<First, Second, Third>&& tape,
                        Cross<T, typename Ctx::MemorySpace> const& d_y) const {
    CrossOf<Ctx> const d{ctx.tensor(d_y.x.extents()), ctx.tensor(d_y.memory.extents())};
    Kokkos::deep_copy(ctx.exec, flat(d.x).view(), flat(d_y.x).view());
    Kokkos::deep_copy(ctx.exec, flat(d.memory).view(), flat(d_y.memory).view());
    return backward_in_place(ctx, std::move(tape), d);
  }

  /// Turns the gradient of y into that of x, and adds to that of the memory.
  template <class Ctx, class First, class Second, class Third>
  CrossOf<Ctx> backward_in_place(Ctx& ctx, Tape<First, Second, Third>&& tape, CrossOf<Ctx> const& d) const {
    ATTN_CHECK(tape.is_kept,
               "DecoderBlock::backward: run forward with ctx.training or ctx.keep_tape switched on, and use each tape "
               "once");
    mlp_.backward_in_place(ctx, std::move(tape.mlp), d.x);
    to_memory<Ctx>(d.memory, d.memory).backward_in_place(ctx, std::move(tape.cross), d.x);
    self_.backward_in_place(ctx, std::move(tape.self), d.x);
    tape.is_kept = false;
    return d;
  }

  SelfAttention const& self_attention() const { return self_.branch(); }
  CrossAttention const& cross_attention() const { return cross_; }

 private:
  static Norm norm(Builder const& builder, Config const& c) {
    return Norm(builder, {.width = c.width, .epsilon = c.epsilon});
  }

  template <class A>
  static A attention(Builder const& builder, Config const& c, typename A::Activation const& activation, Index tokens,
                     typename A::Settings const& core) {
    return A(builder, {.width = c.width,
                       .heads = c.heads,
                       .tokens = tokens,
                       .dropout = c.dropout,
                       .activation = activation,
                       .scale_per_head = c.scale_per_head,
                       .core = core,
                       .initial = c.initial});
  }

  static Mlp_ mlp(Builder const& builder, Config const& c) {
    Linear const first(builder / "linear1", {.inputs = c.width, .outputs = c.hidden, .initial = c.initial});
    Linear const second(builder / "linear2", {.inputs = c.hidden, .outputs = c.width, .initial = c.initial});
    return {F(), first, Dropout(builder / "dropout", c.dropout), second, Dropout(builder / "dropout3", c.dropout)};
  }

  template <class Ctx>
  auto to_memory(ConstTensorOf<Ctx, 3> memory, TensorOf<Ctx, 3> d_memory = {}) const {
    using Branch = detail::ToMemory<Ctx, CrossAttention>;
    return Residual<Norm, Branch>(norm_, Branch{&cross_, memory, d_memory}, depth_);
  }

  template <class X>
  static auto flat(X const& x) {
    return x.template reshape<1>({x.size()});
  }

  Residual<Norm, SelfAttention> self_;
  Norm norm_;
  CrossAttention cross_;
  StochasticDepth depth_;
  Residual<Norm, Mlp_> mlp_;
};

}  // namespace attn::nn
