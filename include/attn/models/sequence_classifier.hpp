/// SequenceClassifier: the encoder that Nyströmformer used in the Long Range Arena, for one sequence or for two.
#pragma once

#include "attn/nn/embedding.hpp"
#include "attn/nn/nystrom_attention.hpp"
#include "attn/nn/sequence_block.hpp"
#include "attn/nn/sequence_pooling.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/nn/stack.hpp"

#include <string>
#include <utility>
#include <vector>

namespace attn::models {

namespace detail {

/// y = [a, b, a b, a - b] for the means a and b of the two sequences of an example.
template <class T>
struct PairFeatures {
  T const* pooled;  // (2 B, C): all first sequences, then all second ones
  T* y;             // (B, 4 C)
  Index examples, width;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index i, Index column) const {
    auto const a = lanes.load(pooled + i * width + column);
    auto const b = lanes.load(pooled + (examples + i) * width + column);
    T* const to = y + i * 4 * width + column;
    lanes.store(to, a);
    lanes.store(to + width, b);
    lanes.store(to + 2 * width, a * b);
    lanes.store(to + 3 * width, a - b);
  }
};

template <class T>
struct PairFeaturesBackward {
  T const* pooled;
  T const* d_y;
  T* d_pooled;
  Index examples, width;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index i, Index column) const {
    Index const first = i * width + column, second = (examples + i) * width + column;
    auto const a = lanes.load(pooled + first), b = lanes.load(pooled + second);
    T const* const from = d_y + i * 4 * width + column;
    auto const d_product = lanes.load(from + 2 * width), d_difference = lanes.load(from + 3 * width);
    lanes.store(d_pooled + first, lanes.load(from) + d_product * b + d_difference);
    lanes.store(d_pooled + second, lanes.load(from + width) + d_product * a - d_difference);
  }
};

}  // namespace detail

/// Embedding, `depth` pre-norm blocks, a norm, the mean over all positions, and a classifier of two layers. `Core` is
/// `nn::NystromAttention<A>` or `nn::SequenceAttention<A>`. Parameter names are those of the published code: model.
/// embeddings, model.transformer_<i>, model.norm, seq_classifer (as it spells it).
template <class Core>
class SequenceClassifier {
  using Block = nn::SequenceBlock<Core>;

 public:
  struct Config {
    Index vocabulary = 0;
    Index positions = 0;  ///< that have an embedding; at least `length`
    Index length = 0;     ///< positions of a sequence
    Index classes = 0;
    bool pairs = false;  ///< whether an example is two sequences
    Index width = 64;
    Index heads = 2;
    Index depth = 2;
    Index hidden = 128;
    double dropout = 0.1;
    typename nn::Attention<nn::ThreeMatrices, Core>::Config attention = {};  ///< width, heads, tokens: from above
  };

  template <class Ctx>
  struct Tape {
    using Head = nn::Sequential<nn::Linear, nn::Pointwise<nn::Relu>, nn::Linear>;
    nn::PackedSequences<typename Ctx::MemorySpace> sequences;
    typename nn::SequenceEmbedding::template Tape<Ctx> embedding;
    nn::TapeOf<nn::Stack<Block>, Ctx, nn::ConstTensorOf<Ctx, 3>> blocks;
    nn::TapeOf<nn::LayerNorm, Ctx, nn::ConstTensorOf<Ctx, 2>> norm;
    nn::TensorOf<Ctx, 2> pooled;
    nn::TapeOf<Head, Ctx, nn::ConstTensorOf<Ctx, 2>> head;
  };

  SequenceClassifier(nn::Builder const& builder, Config const& c)
      : config_(checked(c)),
        embedding_(builder / "model" / "embeddings",
                   {.vocabulary = c.vocabulary, .positions = c.positions, .width = c.width, .dropout = c.dropout}),
        blocks_(make_blocks(builder / "model", c)),
        norm_(builder / "model" / "norm", {.width = c.width, .epsilon = 1e-5}),
        head_(layer(builder, "0", (c.pairs ? 4 : 1) * c.width, c.hidden), nn::Pointwise<nn::Relu>(),
              layer(builder, "2", c.hidden, c.classes)) {
    builder.set("seq_classifer.mlpblock.2.*", {.adapts = nn::ClassRows{}});
  }

  /// B sequences, or 2 B of pairs -> logits (B, classes). `ids` (rows), each below `vocabulary`.
  template <class Ctx>
  nn::Forward<nn::TensorOf<Ctx, 2>, Tape<Ctx>> forward(Ctx& ctx,
                                                       nn::PackedSequences<typename Ctx::MemorySpace> const& sequences,
                                                       Tensor<int const, 1, typename Ctx::MemorySpace> ids) const {
    using Const = nn::ConstTensorOf<Ctx, 2>;
    Index const batch = sequences.batch();
    ATTN_CHECK(sequences.length == config_.length, "SequenceClassifier::forward: give sequences of ", config_.length,
               " positions, got ", sequences.length);
    ATTN_CHECK(!config_.pairs || batch % 2 == 0, "SequenceClassifier::forward: give pairs of sequences, got ", batch);
    Tape<Ctx> tape;
    tape.sequences = sequences;
    auto [x, embedding] = embedding_.forward(ctx, sequences, ids);
    tape.embedding = embedding;
    nn::WithSequences const packed(ctx, {.packed = sequences});
    nn::ConstTensorOf<Ctx, 3> const rows = x.template reshape<3>({1, x.extent(0), x.extent(1)});
    auto [encoded, blocks_tape] = blocks_.forward(ctx, rows);
    tape.blocks = std::move(blocks_tape);
    auto [normal, norm_tape] = norm_.forward(ctx, Const(encoded.rows()));
    tape.norm = norm_tape;
    tape.pooled = nn::pool_sequences(ctx, sequences, Const(normal));
    auto [logits, head_tape] = head_.forward(ctx, Const(features(ctx, tape.pooled)));
    tape.head = std::move(head_tape);
    return {logits, std::move(tape)};
  }

  /// The same for both as one aggregate, as modules have it.
  template <class Ctx>
  nn::Forward<nn::TensorOf<Ctx, 2>, Tape<Ctx>> forward(
      Ctx& ctx,
      std::pair<nn::PackedSequences<typename Ctx::MemorySpace>, Tensor<int const, 1, typename Ctx::MemorySpace>> const&
          batch) const {
    return forward(ctx, batch.first, batch.second);
  }

  /// Adds the gradients of all parameters.
  template <class Ctx>
  void backward(Ctx& ctx, Tape<Ctx>&& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    using T = typename Ctx::Scalar;
    using Const = nn::ConstTensorOf<Ctx, 2>;
    ATTN_CHECK(tape.blocks.layers.size() == blocks_.layers().size(),
               "SequenceClassifier::backward: run forward with ctx.training or ctx.keep_tape on, and use a tape once");
    nn::TensorOf<Ctx, 2> d_pooled = head_.backward(ctx, std::move(tape.head), d_logits);
    if (config_.pairs) {
      auto const d_features = d_pooled;
      d_pooled = ctx.tensor(tape.pooled.extents());
      elementwise<T>(ctx.exec, "attn::SequenceClassifier::pairs", d_features.extent(0), config_.width,
                     detail::PairFeaturesBackward<T>{tape.pooled.data(), d_features.data(), d_pooled.data(),
                                                     d_features.extent(0), config_.width});
    }
    auto const d_normal = nn::unpool_sequences(ctx, tape.sequences, Const(d_pooled));
    nn::TensorOf<Ctx, 2> const d = norm_.backward(ctx, std::move(tape.norm), Const(d_normal));
    blocks_.backward_in_place(ctx, std::move(tape.blocks), d.template reshape<3>({1, d.extent(0), d.extent(1)}));
    embedding_.backward(ctx, std::move(tape.embedding), Const(d));
  }

  Config const& config() const { return config_; }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.vocabulary > 0 && c.classes > 0 && c.length > 0 && c.positions >= c.length,
               "SequenceClassifier: give a vocabulary, classes, and as many positions as the length, got ",
               c.vocabulary, ", ", c.classes, ", ", c.positions, " and ", c.length);
    return c;
  }

  static nn::Linear layer(nn::Builder const& builder, char const* name, Index inputs, Index outputs) {
    return nn::Linear(builder / "seq_classifer" / "mlpblock" / name, {.inputs = inputs,
                                                                      .outputs = outputs,
                                                                      .initial = nn::fan_in_uniform(inputs),
                                                                      .initial_bias = nn::fan_in_uniform(inputs)});
  }

  static nn::Stack<Block> make_blocks(nn::Builder const& builder, Config const& c) {
    std::vector<Block> blocks;
    auto attention = c.attention;
    attention.width = c.width, attention.heads = c.heads, attention.tokens = c.length;
    for (Index i = 0; i < c.depth; ++i) {
      blocks.emplace_back(builder / ("transformer_" + std::to_string(i)),
                          typename Block::Config{.hidden = c.hidden, .dropout = c.dropout, .attention = attention});
    }
    return nn::Stack<Block>(std::move(blocks));
  }

  template <class Ctx>
  nn::TensorOf<Ctx, 2> features(Ctx& ctx, nn::TensorOf<Ctx, 2> const& pooled) const {
    using T = typename Ctx::Scalar;
    if (!config_.pairs) return pooled;
    Index const examples = pooled.extent(0) / 2;
    auto const y = ctx.tensor(examples, 4 * config_.width);
    elementwise<T>(ctx.exec, "attn::SequenceClassifier::pairs", examples, config_.width,
                   detail::PairFeatures<T>{pooled.data(), y.data(), examples, config_.width});
    return y;
  }

  Config config_;
  nn::SequenceEmbedding embedding_;
  nn::Stack<Block> blocks_;
  nn::LayerNorm norm_;
  nn::Sequential<nn::Linear, nn::Pointwise<nn::Relu>, nn::Linear> head_;
};

}  // namespace attn::models
