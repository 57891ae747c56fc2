/// PINNsFormer: an encoder and a decoder over short pseudo-sequences of points, for solving differential equations
/// (Zhao, Ding and Prakash 2024). Parameter names are those of its reference implementation.
#pragma once

#include "attn/models/detail/wave_mlp.hpp"
#include "attn/nn/multi_head_attention.hpp"

#include <vector>

namespace attn::models {

/// Sizes of a `PinnsFormer`.
struct PinnsFormerConfig {
  Index inputs = 2;  ///< coordinates of a point
  Index outputs = 1;
  Index width = 32;
  Index layers = 1;  ///< of the encoder and of the decoder
  Index heads = 2;
  Index hidden = 256;       ///< of the feed-forward parts
  Index head_hidden = 512;  ///< of the output head
  Index scale_tokens = 51;  ///< N in the initial value 1/sqrt(N) of a trained scale
  bool scale_per_head = false;
};

namespace detail {

/// x += attention(Wave(x), memory); x += feed-forward(Wave(x)). An encoder's layer attends to Wave(x) itself.
template <class A>
class PinnsFormerLayer {
 public:
  template <class Ctx>
  using AttentionTape = typename nn::PackedAttention<A>::template Tape<Ctx>;

  template <class Ctx>
  struct Tape {
    nn::Wave::Tape<nn::ConstTensorOf<Ctx, 3>> act1, act2;
    AttentionTape<Ctx> attn;
    WaveMlp::Tape<Ctx> ff;
  };

  PinnsFormerLayer(nn::Builder const& builder, PinnsFormerConfig const& c, A const& activation)
      : attn_(builder / "attn", {.width = c.width,
                                 .heads = c.heads,
                                 .tokens = c.scale_tokens,
                                 .activation = activation,
                                 .scale_per_head = c.scale_per_head,
                                 .initial = nn::xavier_uniform(c.width, c.width),
                                 .initial_bias = nn::constant(0.01)}),
        ff_(builder / "ff" / "linear", c.width, c.hidden, c.width),
        act1_(builder / "act1"),
        act2_(builder / "act2") {}

  /// x (B, N, C), memory (B, M, C) or empty -> (B, N, C).
  template <class Ctx>
  nn::Forward<nn::TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, nn::ConstTensorOf<Ctx, 3> x,
                                                       nn::ConstTensorOf<Ctx, 3> memory) const {
    auto [x1, tape1] = act1_.forward(ctx, x);
    auto [y1, tape_attn] = attend(ctx, x1, memory, nn::Onto<Ctx>{x});
    auto [x2, tape2] = act2_.forward(ctx, y1);
    auto [y, tape_ff] = ff_.forward(ctx, x2, y1);
    return {y, {tape1, tape2, tape_attn, tape_ff}};
  }

  /// The gradients of x and of memory (empty for an encoder's layer).
  template <class Ctx>
  nn::CrossOf<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, nn::ConstTensorOf<Ctx, 3> d_y) const {
    using CrossTape = typename nn::PackedAttention<A>::template CrossTape<Ctx>;
    auto const d_x2 = ff_.backward(ctx, std::move(tape.ff), d_y);
    nn::ConstTensorOf<Ctx, 3> const d_y1 = act2_.backward(ctx, std::move(tape.act2), d_x2, d_y);
    nn::CrossOf<Ctx> const d = tape.attn.crosses
                                   ? attn_.backward(ctx, CrossTape{std::move(tape.attn)}, d_y1)
                                   : nn::CrossOf<Ctx>{attn_.backward(ctx, std::move(tape.attn), d_y1), {}};
    return {act1_.backward(ctx, std::move(tape.act1), d.x, d_y1), d.memory};
  }

 private:
  template <class Ctx>
  nn::Forward<nn::TensorOf<Ctx, 3>, AttentionTape<Ctx>> attend(Ctx& ctx, nn::ConstTensorOf<Ctx, 3> x,
                                                               nn::ConstTensorOf<Ctx, 3> memory,
                                                               nn::Onto<Ctx> const& onto) const {
    if (memory.data() == nullptr) {
      auto [y, tape] = attn_.forward(ctx, x, onto);
      return {y, tape};
    }
    auto [y, tape] =
        attn_.forward(ctx, nn::Cross<typename Ctx::Scalar const, typename Ctx::MemorySpace>{x, memory}, onto);
    return {y, tape.tape};
  }

  nn::PackedAttention<A> attn_;
  WaveMlp ff_;
  nn::Wave act1_;
  nn::Wave act2_;
};

}  // namespace detail

/// `A` is the activation of its attention, over sequences of as many tokens as a pseudo-sequence has steps. 453,561
/// parameters with 2 inputs and 1 output; 2.26 million multiply-adds of linear layers for a point of 5 steps.
template <class A>
class PinnsFormer {
  using Layer = detail::PinnsFormerLayer<A>;

 public:
  using Config = PinnsFormerConfig;

  template <class Ctx>
  struct Tape {
    nn::Linear::Tape<nn::ConstTensorOf<Ctx, 3>> embedding;
    std::vector<typename Layer::template Tape<Ctx>> encoder, decoder;
    nn::Wave::Tape<nn::ConstTensorOf<Ctx, 3>> encoder_act, decoder_act;
    detail::WaveMlp::Tape<Ctx> head;
  };

  PinnsFormer(nn::Builder const& builder, Config const& config, A const& activation = {})
      : config_(checked(config)),
        embedding_(builder / "linear_emb", detail::pinnsformer_linear(config.inputs, config.width)),
        encoder_(layers(builder / "encoder", config, activation)),
        encoder_act_(builder / "encoder" / "act"),
        decoder_(layers(builder / "decoder", config, activation)),
        decoder_act_(builder / "decoder" / "act"),
        head_(builder / "linear_out", config.width, config.head_hidden, config.outputs) {}

  /// points (B, N, inputs), N steps of a pseudo-sequence -> (B, N, outputs).
  template <class Ctx, class X>
  nn::Forward<nn::TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, X const& points) const {
    nn::ConstTensorOf<Ctx, 3> const x = points;
    ATTN_CHECK(x.extent(2) == config_.inputs, "PinnsFormer::forward: give points of ", config_.inputs,
               " coordinates, got ", x.extent(2));
    auto const y = ctx.tensor(x.extent(0), x.extent(1), config_.outputs);
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape;
    auto [embedded, embedding_tape] = embedding_.forward(ctx, x);
    tape.embedding = embedding_tape;
    auto const through = [&, embedded = embedded](std::vector<Layer> const& layers, nn::ConstTensorOf<Ctx, 3> memory,
                                                  auto& tapes, nn::Wave const& act, auto& act_tape) {
      nn::ConstTensorOf<Ctx, 3> z = embedded;
      for (Layer const& layer : layers) {
        auto [next, layer_tape] = layer.forward(ctx, z, memory);
        tapes.push_back(std::move(layer_tape));
        z = next;
      }
      auto [out, last] = act.forward(ctx, z);
      act_tape = last;
      return out;
    };
    auto const encoded = through(encoder_, {}, tape.encoder, encoder_act_, tape.encoder_act);
    auto const decoded = through(decoder_, encoded, tape.decoder, decoder_act_, tape.decoder_act);
    auto [out, head_tape] = head_.forward(ctx, decoded, nn::ConstTensorOf<Ctx, 3>());
    tape.head = std::move(head_tape);
    copy(ctx, out, y);
    if (!ctx.keeps_tape()) tape = {};
    return {y, std::move(tape)};
  }

  /// The gradient of the points (B, N, inputs) from that of the outputs.
  template <class Ctx, class D>
  nn::TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<Ctx>&& tape, D const& d_y) const {
    nn::detail::check_tape("PinnsFormer::backward", tape.embedding.x);
    nn::ConstTensorOf<Ctx, 3> const d_out = d_y;
    auto const d_x = ctx.tensor(tape.embedding.x.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_decoded = head_.backward(ctx, std::move(tape.head), d_out);
    nn::TensorOf<Ctx, 3> d_memory;
    nn::TensorOf<Ctx, 3> d = decoder_act_.backward(ctx, std::move(tape.decoder_act), d_decoded);
    for (std::size_t l = decoder_.size(); l-- > 0;) {
      auto const gradients = decoder_[l].backward(ctx, std::move(tape.decoder[l]), d);
      d = gradients.x;
      d_memory = d_memory.data() == nullptr ? gradients.memory : detail::add<Ctx>(ctx, d_memory, gradients.memory);
    }
    auto const d_embedded_by_decoder = d;
    d = encoder_act_.backward(ctx, std::move(tape.encoder_act), d_memory);
    for (std::size_t l = encoder_.size(); l-- > 0;) d = encoder_[l].backward(ctx, std::move(tape.encoder[l]), d).x;
    d = detail::add<Ctx>(ctx, d, d_embedded_by_decoder);
    embedding_.add_gradients(ctx, tape.embedding.x.rows(), d.rows());
    embedding_.pull_back(ctx, d.rows(), d_x.rows());
    return d_x;
  }

  Config const& config() const { return config_; }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.inputs > 0 && c.outputs > 0 && c.layers > 0, "PinnsFormer: give positive sizes, got ", c.inputs,
               " inputs, ", c.outputs, " outputs, ", c.layers, " layers");
    return c;
  }
  static std::vector<Layer> layers(nn::Builder const& builder, Config const& config, A const& activation) {
    std::vector<Layer> all;
    for (Index l = 0; l < config.layers; ++l) all.emplace_back(builder / "layers" / l, config, activation);
    return all;
  }

  /// The result leaves the memory that is given back on return.
  template <class Ctx>
  static void copy(Ctx& ctx, nn::TensorOf<Ctx, 3> from, nn::TensorOf<Ctx, 3> to) {
    auto const a = real_rows(from.rows()), b = real_rows(to.rows());
    elementwise<typename Ctx::Real>(ctx.exec, "attn::PinnsFormer::copy", 1, a.size(),
                                    CopyMatrix<typename Ctx::Real, typename Ctx::Real>{a.data(), b.data(), 0, 0});
  }

  Config config_;
  nn::Linear embedding_;
  std::vector<Layer> encoder_;
  nn::Wave encoder_act_;
  std::vector<Layer> decoder_;
  nn::Wave decoder_act_;
  detail::WaveMlp head_;
};

}  // namespace attn::models
