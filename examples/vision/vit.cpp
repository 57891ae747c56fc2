// ViT, compiled once for activations that are chosen when the program runs.
#include "attn/models/vit.hpp"

#include "vision/families.hpp"
#include "vision/model_classifier.hpp"

namespace vision {

std::vector<NamedModel> vit_models() {
  std::vector<NamedModel> all;
  struct Row {
    char const* name;
    int width, depth, heads, patch, image;
  };
  constexpr Row rows[] = {
      {"vit_tiny_patch16_224", 192, 12, 3, 16, 224},    {"vit_tiny_patch16_384", 192, 12, 3, 16, 384},
      {"vit_small_patch32_224", 384, 12, 6, 32, 224},   {"vit_small_patch32_384", 384, 12, 6, 32, 384},
      {"vit_small_patch16_224", 384, 12, 6, 16, 224},   {"vit_small_patch16_384", 384, 12, 6, 16, 384},
      {"vit_small_patch8_224", 384, 12, 6, 8, 224},     {"vit_base_patch32_224", 768, 12, 12, 32, 224},
      {"vit_base_patch32_384", 768, 12, 12, 32, 384},   {"vit_base_patch16_224", 768, 12, 12, 16, 224},
      {"vit_base_patch16_384", 768, 12, 12, 16, 384},   {"vit_base_patch8_224", 768, 12, 12, 8, 224},
      {"vit_large_patch32_224", 1024, 24, 16, 32, 224}, {"vit_large_patch32_384", 1024, 24, 16, 32, 384},
      {"vit_large_patch16_224", 1024, 24, 16, 16, 224}, {"vit_large_patch16_384", 1024, 24, 16, 16, 384},
      {"vit_large_patch14_224", 1024, 24, 16, 14, 224}, {"vit_huge_patch14_224", 1280, 32, 16, 14, 224}};
  for (Row const& row : rows) {
    NamedModel model{.name = row.name, .crop_fraction = row.image == 384 ? 1.0 : 0.9};
    model.sizes.image = {row.image, row.image};
    model.sizes.patch = {row.patch, row.patch};
    model.sizes.width = row.width;
    model.sizes.depth = row.depth;
    model.sizes.heads = row.heads;
    for (int c = 0; c < 3; ++c) model.mean[c] = model.deviation[c] = 0.5f;  // those that were trained on ImageNet-21k
    all.push_back(model);
  }
  return all;
}

std::unique_ptr<Classifier> make_vit(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                     Sizes const& s) {
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
      .activation = choice.make(activations()),
      .scale_per_head = s.scale_per_head};
  using Model = attn::models::Vit<attn::models::VitBlock<Activation>>;
  return std::make_unique<ModelClassifier<Model>>(builder, config, std::vector<std::string>(std::size_t(s.depth.first()), "token"));
}

}  // namespace vision
