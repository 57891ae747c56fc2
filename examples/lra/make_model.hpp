/// Which types --attention, --factors and an activation stand for. The definitions are spread over several files,
/// because each type is a model of its own to the compiler.
#pragma once

#include "attn/activation/activation.hpp"

#include <concepts>
#include <utility>

#include "lra/model.hpp"

namespace lra {

template <class T>
struct TimesNumber {
  T* x;
  T factor;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, attn::Index, attn::Index i) const {
    lanes.store(x + i, lanes.load(x + i) * typename Lanes::Value(factor));
  }
};

template <class Core>
class ModelOf final : public SequenceModel {
 public:
  ModelOf(Context& ctx, typename attn::models::SequenceClassifier<Core>::Config const& config) : model_(ctx, config) {}

  attn::nn::LossValue<Context> train(Context& ctx, Sequences const& sequences, Ids ids, Labels labels,
                                     float weight) const override {
    auto [logits, tape] = model_.forward(ctx, sequences, ids);
    auto const [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, labels);
    if (weight != 1) {
      attn::elementwise<float>(ctx.exec, "lra::weight", 1, d_logits.size(),
                               TimesNumber<float>{d_logits.data(), weight});
    }
    model_.backward(ctx, std::move(tape), d_logits);
    return loss;
  }
  Logits logits(Context& ctx, Sequences const& sequences, Ids ids) const override {
    return model_.forward(ctx, sequences, ids).value;
  }

 private:
  attn::models::SequenceClassifier<Core> model_;
};

template <class Core>
typename attn::models::SequenceClassifier<Core>::Config config_of(ModelSettings const& s, TaskSizes const& sizes) {
  return {.vocabulary = sizes.vocabulary,
          .positions = sizes.positions,
          .length = sizes.length,
          .classes = sizes.classes,
          .pairs = sizes.pairs,
          .width = s.width,
          .heads = s.heads,
          .depth = s.depth,
          .hidden = s.hidden,
          .dropout = s.dropout,
          .attention = {.scale_per_head = s.scale_per_head}};
}

template <class A1, class A2, class A3>
std::unique_ptr<SequenceModel> make_nystrom(Context& ctx, ModelSettings const& s, TaskSizes const& sizes, A1 const& a1,
                                            A2 const& a2, A3 const& a3) {
  using Core = attn::nn::NystromAttention<A1, A2, A3>;
  using attn::nn::PseudoInverseStart;
  auto config = config_of<Core>(s, sizes);
  auto& attention = config.attention;
  attention.core.landmarks = s.landmarks;
  attention.core.taps = s.taps;
  attention.core.pseudo_inverse.iterations = s.inverse_iterations;
  if (s.inverse_start != "auto") {
    attention.core.pseudo_inverse.start =
        s.inverse_start == "norms" ? PseudoInverseStart::norms : PseudoInverseStart::column_sum;
  }
  attention.activation = a1, attention.core.landmarks_activation = a2, attention.core.keys_activation = a3;
  return std::make_unique<ModelOf<Core>>(ctx, config);
}

template <class A>
std::unique_ptr<SequenceModel> make_with(Context& ctx, ModelSettings const& s, TaskSizes const& sizes,
                                         A const& a = {}) {
  if (s.attention == "full") {
    using Core = attn::nn::SequenceAttention<A>;
    auto config = config_of<Core>(s, sizes);
    config.attention.activation = a;
    return std::make_unique<ModelOf<Core>>(ctx, config);
  }
  if constexpr (!std::same_as<A, attn::Softmax>) {
    attn::Softmax const softmax;
    if (s.factors == "outer") return make_nystrom(ctx, s, sizes, a, softmax, a);
    if (s.factors == "inner") return make_nystrom(ctx, s, sizes, softmax, a, softmax);
  }
  return make_nystrom(ctx, s, sizes, a, a, a);
}

std::unique_ptr<SequenceModel> make_softmax(Context& ctx, ModelSettings const& s, TaskSizes const& sizes);
std::unique_ptr<SequenceModel> make_other(Context& ctx, ModelSettings const& s, TaskSizes const& sizes);

/// c s^p with a trained c, and with one that is fixed, which may be 1.
std::unique_ptr<SequenceModel> make_dynamic_poly(Context& ctx, ModelSettings const& s, TaskSizes const& sizes);
std::unique_ptr<SequenceModel> make_fixed_poly(Context& ctx, ModelSettings const& s, TaskSizes const& sizes);

}  // namespace lra
