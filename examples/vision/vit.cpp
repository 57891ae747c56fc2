// ViT, compiled once for activations that are chosen when the program runs.
#include "vision/vit.hpp"

#include "attn/models/vit_names.hpp"

#include "vision/families.hpp"

template class vision::ModelClassifier<vision::VitModel>;

namespace vision {

std::vector<NamedModel> vit_models() {
  std::vector<NamedModel> all;
  for (std::string const& name : attn::models::vit_names()) {
    auto const config = *attn::models::vit_config<Activation>(name);
    NamedModel model{.name = name, .crop_fraction = config.image_height == 384 ? 1.0 : 0.9};
    Sizes& s = model.sizes;
    s.image = {static_cast<int>(config.image_height), static_cast<int>(config.image_width)};
    s.patch = {static_cast<int>(config.patch_height), static_cast<int>(config.patch_width)};
    s.width = static_cast<int>(config.width);
    s.depth = static_cast<int>(config.depth);
    s.heads = static_cast<int>(config.heads);
    s.mlp_ratio = config.mlp_ratio;
    s.distilled = config.distilled;
    s.no_qkv_bias = !config.qkv_bias;
    s.no_class_position = !config.embeds_prefix;
    s.layer_scale = config.layer_scale;
    if (name.starts_with("vit")) {  // trained on ImageNet-21k, whose recipe took these numbers
      for (int c = 0; c < 3; ++c) model.mean[c] = model.deviation[c] = 0.5f;
    }
    all.push_back(model);
  }
  return all;
}

std::unique_ptr<Classifier> make_vit(attn::nn::Builder const& builder, ActivationChoice const& choice, Sizes const& s) {
  attn::models::VitConfig<Activation> const config = {
      .width = s.width,
      .depth = s.depth.first(),
      .heads = s.heads.first(),
      .mlp_ratio = s.mlp_ratio,
      .image_height = s.image.height,
      .image_width = s.image.width,
      .channels = s.channels,
      .patch_height = s.patch.height,
      .patch_width = s.patch.width,
      .classes = s.classes,
      .pooled = s.pool == "mean" ? attn::nn::Pooled::mean : attn::nn::Pooled::class_token,
      .distilled = s.distilled,
      .embeds_prefix = !s.no_class_position,
      .qkv_bias = !s.no_qkv_bias,
      .dropout = s.drop,
      .stochastic_depth = s.drop_path,
      .activation = choice.make(activations()),
      .scale_per_head = s.scale_per_head,
      .scale_tokens = s.scale_keys,
      .layer_scale = s.layer_scale};
  return make_model<VitModel>(builder, config, s, std::vector<std::string>(std::size_t(s.depth.first()), "token"));
}

}  // namespace vision
