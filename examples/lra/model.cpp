// The models in fp32, one with each kind of attention, for activations that are chosen when the program runs.
#include "lra/model_of.hpp"
#include "power_name.hpp"

namespace lra {
namespace {

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
  auto config = config_of<FullCore>(s, sizes);
  config.attention.activation = activation;
  if (s.precision != "fp32") return make_narrow(ctx, config, s.precision);
  return std::make_unique<ModelOf<FullCore>>(ctx, config);
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
