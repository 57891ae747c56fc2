/// SequenceAttention: every token of a packed sequence to every other one; the full counterpart of NystromAttention.
#pragma once

#include "attn/attention/attention.hpp"
#include "attn/nn/detail/module_activation.hpp"
#include "attn/nn/packed_sequences.hpp"

#include <type_traits>
#include <utility>

namespace attn::nn {

namespace detail {

/// (rows, C) as one sequence: (1, H, rows, C / H), to read or to write. Calls of attention name one type for all that
/// is read and one for all that is written.
template <class T, class Memory>
Tensor<T, 4, Memory> heads_to_write(Tensor<T, 2, Memory> const& x, Index heads) {
  Index const width = x.extent(1) / heads;
  return {x.data(), {1, heads, x.extent(0), width}, {x.extent(0) * x.stride(0), width, x.stride(0), 1}};
}
template <class T, class Memory>
Tensor<T const, 4, Memory> heads_to_read(Tensor<T, 2, Memory> const& x, Index heads) {
  return heads_to_write(x, heads);
}

template <class Sequences, class X>
void check_sequences(char const* function, Sequences const& s, Index length, Index width, X const& q, X const& k,
                     X const& v) {
  ATTN_CHECK(s.length <= length, function, ": give sequences of at most ", length, " positions, got ", s.length);
  for (auto const* x : {&q, &k, &v}) {
    ATTN_CHECK(x->extent(0) == s.rows() && x->extent(1) == width && x->is_contiguous(), function,
               ": give contiguous q, k and v of ", s.rows(), " rows and width ", width, ", got ", x->extent(0), " x ",
               x->extent(1));
  }
}

template <class A, class Ctx>
struct OwnSequenceTape {
  using Saved = attn::Saved<BoundIn<Ctx, A>, typename Ctx::Scalar, typename Ctx::MemorySpace>;
  TensorOf<Ctx, 2> attended;  // (rows, C)
  Saved saved;
};

template <class A, class Ctx>
OwnSequenceTape<A, Ctx> attend_to_own_sequence(Ctx& ctx, ModuleActivation<A> const& activation,
                                               PackedSequences<typename Ctx::MemorySpace> const& sequences, Index heads,
                                               Index n, ConstTensorOf<Ctx, 2> q, ConstTensorOf<Ctx, 2> k,
                                               ConstTensorOf<Ctx, 2> v) {
  using Tape = OwnSequenceTape<A, Ctx>;
  auto const attended = ctx.tensor(q.extents());
  auto const a = activation.bind(ctx);
  Tape const tape{attended, typename Tape::Saved(ctx.workspace, a, 1, heads, q.extent(0))};
  attn::attention(ctx.exec, a, heads_to_read(q, heads), heads_to_read(k, heads), heads_to_read(v, heads),
                  heads_to_write(tape.attended, heads), tape.saved,
                  AttentionOptions<Grouped>{.mask = rows_to_rows(sequences, n)});
  return tape;
}

template <class A, class Ctx>
void own_sequence_gradients(Ctx& ctx, ModuleActivation<A> const& activation,
                            PackedSequences<typename Ctx::MemorySpace> const& sequences, Index heads, Index n,
                            ConstTensorOf<Ctx, 2> q, ConstTensorOf<Ctx, 2> k, ConstTensorOf<Ctx, 2> v,
                            OwnSequenceTape<A, Ctx> const& tape, ConstTensorOf<Ctx, 2> d_y, TensorOf<Ctx, 2> d_q,
                            TensorOf<Ctx, 2> d_k, TensorOf<Ctx, 2> d_v) {
  activation.bind_gradients(ctx, [&](auto const& a) {
    attn::attention_backward(ctx.exec, a, heads_to_read(q, heads), heads_to_read(k, heads), heads_to_read(v, heads),
                             heads_to_read(tape.attended, heads), tape.saved, heads_to_read(d_y, heads),
                             heads_to_write(d_q, heads), heads_to_write(d_k, heads), heads_to_write(d_v, heads),
                             AttentionOptions<Grouped>{.mask = rows_to_rows(sequences, n)});
  });
}

}  // namespace detail

/// The core of an attention layer: q, k, v (rows, C) of packed sequences -> (rows, C). To the activation a sequence has
/// `length` keys, hidden ones included. No parameters but the trained numbers of the activation, activation.<name>.
/// 4 C flops for each pair of tokens of a sequence.
template <class A>
class SequenceAttention {
 public:
  using Activation = A;

  struct Config {
    Index width = 0;  ///< C
    Index heads = 1;
    Index length = 1;  ///< positions of a sequence
    A activation = {};
    bool scale_per_head = false;
  };

  template <class Ctx>
  struct Tape {
    PackedSequences<typename Ctx::MemorySpace> sequences;
    ConstTensorOf<Ctx, 2> q, k, v;
    detail::OwnSequenceTape<A, Ctx> own;
  };

  SequenceAttention(Builder const& builder, Config const& config)
      : config_(config), activation_(builder, config.activation, config.heads, config.length, config.scale_per_head) {
    ATTN_CHECK(config.width > 0 && config.heads > 0 && config.width % config.heads == 0,
               "SequenceAttention: make the width a multiple of the heads, got width ", config.width, " and ",
               config.heads, " heads");
  }

  template <class Ctx>
  Forward<TensorOf<Ctx, 2>, Tape<Ctx>> forward(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences,
                                               ConstTensorOf<Ctx, 2> q, ConstTensorOf<Ctx, 2> k,
                                               ConstTensorOf<Ctx, 2> v) const {
    detail::check_sequences("SequenceAttention::forward", sequences, config_.length, config_.width, q, k, v);
    Tape<Ctx> const tape{
        sequences, q, k, v,
        detail::attend_to_own_sequence<A>(ctx, activation_, sequences, config_.heads, config_.length, q, k, v)};
    return {tape.own.attended, tape};
  }

  /// The gradients of q, k and v are overwritten.
  template <class Ctx>
  void backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 2> d_y, TensorOf<Ctx, 2> d_q, TensorOf<Ctx, 2> d_k,
                TensorOf<Ctx, 2> d_v) const {
    detail::check_tape("SequenceAttention::backward", tape.own.attended);
    detail::own_sequence_gradients(ctx, activation_, tape.sequences, config_.heads, config_.length, tape.q, tape.k,
                                   tape.v, tape.own, d_y, d_q, d_k, d_v);
  }

  Config const& config() const { return config_; }

 private:
  Config config_;
  detail::ModuleActivation<A> activation_;
};

}  // namespace attn::nn
