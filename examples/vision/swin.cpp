// Swin, compiled once for activations that are chosen when the program runs; and the kernels of its windows.
#include "vision/swin.hpp"

#include "attn/attention/activation_registry.hpp"
#include "attn/models/swin_names.hpp"

#include "own_activations.hpp"
#include "vision/families.hpp"

template class vision::ModelClassifier<vision::SwinModel>;

namespace vision {
namespace {

using WindowActivation = attn::nn::AnyWindowActivation;

attn::ActivationRegistry<WindowActivation> const& window_activations() {
  return offered_activations<WindowActivation>([](auto& registry) { attn::add_common_activations(registry); });
}

Stages stages_of(std::vector<Index> const& numbers) {
  Stages stages;
  for (Index const number : numbers) stages.numbers.push_back(static_cast<int>(number));
  return stages;
}

}  // namespace

std::vector<NamedModel> swin_models() {
  std::vector<NamedModel> all;
  for (std::string const& name : attn::models::swin_names()) {
    auto const config = *attn::models::swin_config<WindowActivation>(name);
    NamedModel model{.name = name, .crop_fraction = config.image_height == 384 ? 1.0 : 0.9};
    Sizes& s = model.sizes;
    s.family = "swin";
    s.image = {static_cast<int>(config.image_height), static_cast<int>(config.image_width)};
    s.patch = {static_cast<int>(config.patch), static_cast<int>(config.patch)};
    s.width = static_cast<int>(config.width);
    s.depth = stages_of(config.depths);
    s.heads = stages_of(config.heads);
    s.window.numbers.clear();
    for (auto const& window : config.windows) s.window.numbers.push_back(static_cast<int>(window.height));
    if (s.window.numbers == std::vector(s.window.numbers.size(), s.window.first())) s.window = s.window.first();
    all.push_back(model);
  }
  return all;
}

std::unique_ptr<Classifier> make_swin(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                      Sizes const& s) {
  ATTN_CHECK(s.patch.height == s.patch.width, "--patch: give Swin a square patch, got ", s.patch.text());
  SwinModel::Config config = {.width = s.width,
                              .depths = s.depth.indices(),
                              .heads = s.heads.indices(),
                              .windows = {},
                              .mlp_ratio = s.mlp_ratio,
                              .image_height = s.image.height,
                              .image_width = s.image.width,
                              .channels = s.channels,
                              .patch = s.patch.height,
                              .classes = s.classes,
                              .dropout = s.drop,
                              .stochastic_depth = s.drop_path,
                              .activation = choice.make(window_activations()),
                              .scale_per_head = s.scale_per_head,
                              .scale_tokens = s.scale_keys};
  for (int const side : s.window.numbers) config.windows.emplace_back(side);
  return make_model<SwinModel>(
      builder, config, s, std::vector<std::string>(static_cast<std::size_t>(s.depth.total()), "token of a window"));
}

}  // namespace vision
