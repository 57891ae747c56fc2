/// ModelOf: a classifier of sequences as a `SequenceModel`, with numbers of any precision between its layers.
#pragma once

#include "attn/nn/precision.hpp"

#include <concepts>
#include <type_traits>

#include "lra/activations.hpp"
#include "lra/model.hpp"

namespace lra {

/// With numbers of T between the layers of the model.
template <class Core, class T = float>
class ModelOf final : public SequenceModel {
  using In = attn::nn::ContextIn<Context, T>;

 public:
  ModelOf(Context& ctx, typename attn::models::SequenceClassifier<Core>::Config const& config) : model_(ctx, config) {}

  attn::nn::LossValue<Context> train(Context& ctx, Sequences const& sequences, Ids ids, Labels labels) const override {
    In typed(ctx);
    auto [logits, tape] = model_.forward(typed, sequences, ids);
    auto const [loss, d_logits] = attn::nn::cross_entropy(ctx, attn::nn::converted<float>(ctx, logits), labels);
    model_.backward(typed, std::move(tape), attn::nn::converted<T>(typed, d_logits));
    return loss;
  }
  Logits logits(Context& ctx, Sequences const& sequences, Ids ids) const override {
    In typed(ctx);
    auto const logits = model_.forward(typed, sequences, ids).value;
    if constexpr (std::same_as<T, float>) {
      return logits;
    } else {
      Logits const wide = ctx.tensor(logits.extents());
      attn::linalg::convert(ctx.exec, logits, wide);
      return wide;
    }
  }

 private:
  attn::models::SequenceClassifier<Core> model_;
};

/// Every token attends to every token.
using FullCore = attn::nn::SequenceAttention<Activation, attn::AttentionDropout>;

/// That model in bf16 or fp16, compiled in narrow.cpp.
std::unique_ptr<SequenceModel> make_narrow(Context& ctx,
                                           attn::models::SequenceClassifier<FullCore>::Config const& config,
                                           std::string const& precision);

}  // namespace lra
