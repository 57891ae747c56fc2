// ViT, compiled once for activations that are chosen when the program runs.
#include "attn/models/vit.hpp"

#include "vision/families.hpp"
#include "vision/model_classifier.hpp"

namespace vision {

std::unique_ptr<Classifier> make_vit(attn::nn::Builder const& builder, Activation const& activation, Sizes const& s) {
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
      .pooled = s.mean_pooling ? attn::nn::Pooled::mean : attn::nn::Pooled::class_token,
      .dropout = s.drop,
      .stochastic_depth = s.drop_path,
      .activation = activation,
      .scale_per_head = s.scale_per_head};
  using Model = attn::models::Vit<attn::models::VitBlock<Activation>>;
  return std::make_unique<ModelClassifier<Model>>(builder, config);
}

}  // namespace vision
