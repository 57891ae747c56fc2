// The one file in which the models are compiled, one with each kind of attention, for activations that are chosen when
// the program runs.
#include "lra/model.hpp"

#include "attn/nn/precision.hpp"

#include "lra/activations.hpp"
#include "power_name.hpp"

namespace lra {
namespace {

/// With numbers of T between the layers of the model.
template <class Core, class T = float>
class ModelOf final : public SequenceModel {
  using In = std::conditional_t<std::same_as<T, Context::Scalar>, Context&, attn::nn::Context<Context::Space, T>>;

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
          .attention = {.attention_dropout = s.attention_dropout, .scale_per_head = s.scale_per_head}};
}

std::unique_ptr<SequenceModel> make_full(Context& ctx, ModelSettings const& s, TaskSizes const& sizes,
                                         Activation const& activation) {
  using Core = attn::nn::SequenceAttention<Activation, attn::AttentionDropout>;
  auto config = config_of<Core>(s, sizes);
  config.attention.activation = activation;
  if (s.precision == "bf16") return std::make_unique<ModelOf<Core, attn::BFloat16>>(ctx, config);
  return std::make_unique<ModelOf<Core>>(ctx, config);
}

std::unique_ptr<SequenceModel> make_nystrom(Context& ctx, ModelSettings const& s, TaskSizes const& sizes,
                                            Activation const& activation) {
  using Core = attn::nn::NystromAttention<Activation>;
  using attn::nn::PseudoInverseStart;
  Activation const softmax = activations().make("softmax");
  auto config = config_of<Core>(s, sizes);
  config.attention.activation = s.factors == "inner" ? softmax : activation;  // of the queries' factor
  auto& core = config.attention.core;
  core.landmarks = s.landmarks;
  core.taps = s.taps;
  core.keys_activation = config.attention.activation;
  core.landmarks_activation = s.factors == "outer" ? softmax : activation;
  core.pseudo_inverse.iterations = s.inverse_iterations;
  bool const by_sums =
      s.inverse_start == "auto" ? core.landmarks_activation->holds_same_type(softmax) : s.inverse_start != "norms";
  core.pseudo_inverse.start = by_sums ? PseudoInverseStart::column_sum : PseudoInverseStart::norms;
  return std::make_unique<ModelOf<Core>>(ctx, config);
}

}  // namespace

std::string ModelSettings::name() const {
  std::string text = is_poly() ? power_name(power) + (scale == "none" ? "" : " " + scale) : activation;
  if (attention == "full") return text + ", full attention";
  return factors == "all" ? text : text + ", " + factors + " factors";
}

std::unique_ptr<SequenceModel> make_model(Context& ctx, ModelSettings const& settings, TaskSizes const& sizes) {
  ATTN_CHECK(settings.attention == "full" || settings.landmarks <= sizes.length, "--landmarks: give at most the ",
             sizes.length, " positions of a sequence, got ", settings.landmarks);
  Activation const activation =
      activations().make(settings.activation, {.power = settings.power, .scale = settings.scale});
  return settings.attention == "full" ? make_full(ctx, settings, sizes, activation)
                                      : make_nystrom(ctx, settings, sizes, activation);
}

}  // namespace lra
