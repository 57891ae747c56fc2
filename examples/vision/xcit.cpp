// XCiT, compiled once for activations that are chosen when the program runs.
#include "vision/xcit.hpp"

#include "attn/models/xcit_names.hpp"

#include "vision/families.hpp"

template class vision::ModelClassifier<vision::XcitModel>;

namespace vision {

std::vector<NamedModel> xcit_models() {
  std::vector<NamedModel> all;
  for (std::string const& name : attn::models::xcit_names()) {
    auto const config = *attn::models::xcit_config<Activation>(name);
    NamedModel model{.name = name, .crop_fraction = 1};
    Sizes& s = model.sizes;
    s.family = "xcit";
    s.image = {static_cast<int>(config.image_height), static_cast<int>(config.image_width)};
    s.patch = {static_cast<int>(config.patch), static_cast<int>(config.patch)};
    s.width = static_cast<int>(config.width);
    s.depth = static_cast<int>(config.depth);
    s.heads = static_cast<int>(config.heads);
    s.layer_scale = config.eta;
    s.class_depth = static_cast<int>(config.class_depth);
    s.class_norm = config.tokens_norm ? "all" : "token";
    all.push_back(model);
  }
  return all;
}

std::unique_ptr<Classifier> make_xcit(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                      Sizes const& s) {
  ATTN_CHECK(s.patch.height == s.patch.width, "--patch: give XCiT a square patch, got ", s.patch.text());
  XcitModel::Config config = {.width = s.width,
                              .depth = s.depth.first(),
                              .class_depth = s.class_depth,
                              .heads = s.heads.first(),
                              .mlp_ratio = s.mlp_ratio,
                              .image_height = s.image.height,
                              .image_width = s.image.width,
                              .channels = s.channels,
                              .patch = s.patch.height,
                              .classes = s.classes,
                              .dropout = s.drop,
                              .stochastic_depth = s.drop_path,
                              .eta = s.layer_scale,
                              .tokens_norm = s.class_norm == "all",
                              .activation = choice.make(activations()),
                              .scale_per_head = s.scale_per_head,
                              .scale_tokens = s.scale_keys};
  if (s.class_softmax) config.class_activation = activations().make("softmax");
  std::vector<std::string> units(static_cast<std::size_t>(s.depth.first()), "channel");
  units.resize(units.size() + static_cast<std::size_t>(s.class_depth), "token");
  return make_model<XcitModel>(builder, config, s, std::move(units));
}

}  // namespace vision
