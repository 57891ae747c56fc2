/// The published sizes of ViT, DeiT and DeiT III, by timm's names.
#pragma once

#include "attn/models/vit.hpp"

#include <optional>
#include <string_view>

namespace attn::models {

namespace detail {

struct VitSize {
  std::string_view name;
  Index width, depth, heads, patch, pixels;
  double mlp_ratio = 4;
  bool qkv_bias = true;
  bool distilled = false;
  double layer_scale = 0;
  bool embeds_prefix = true;
};

// clang-format off
inline constexpr VitSize vit_sizes[] = {
    {"vit_tiny_patch16_224", 192, 12, 3, 16, 224},
    {"vit_tiny_patch16_384", 192, 12, 3, 16, 384},
    {"vit_small_patch32_224", 384, 12, 6, 32, 224},
    {"vit_small_patch32_384", 384, 12, 6, 32, 384},
    {"vit_small_patch16_224", 384, 12, 6, 16, 224},
    {"vit_small_patch16_384", 384, 12, 6, 16, 384},
    {"vit_small_patch8_224", 384, 12, 6, 8, 224},
    {"vit_base_patch32_224", 768, 12, 12, 32, 224},
    {"vit_base_patch32_384", 768, 12, 12, 32, 384},
    {"vit_base_patch16_224", 768, 12, 12, 16, 224},
    {"vit_base_patch16_384", 768, 12, 12, 16, 384},
    {"vit_base_patch8_224", 768, 12, 12, 8, 224},
    {"vit_base_patch16_224_miil", 768, 12, 12, 16, 224, 4, false},
    {"vit_base_patch32_plus_256", 896, 12, 14, 32, 256, 4, true, false, 1e-5},
    {"vit_base_patch16_plus_240", 896, 12, 14, 16, 240, 4, true, false, 1e-5},
    {"vit_small_patch16_36x1_224", 384, 36, 6, 16, 224, 4, true, false, 1e-5},
    {"vit_large_patch32_224", 1024, 24, 16, 32, 224},
    {"vit_large_patch32_384", 1024, 24, 16, 32, 384},
    {"vit_large_patch16_224", 1024, 24, 16, 16, 224},
    {"vit_large_patch16_384", 1024, 24, 16, 16, 384},
    {"vit_large_patch14_224", 1024, 24, 16, 14, 224},
    {"vit_huge_patch14_224", 1280, 32, 16, 14, 224},
    {"vit_giant_patch14_224", 1408, 40, 16, 14, 224, 48.0 / 11},
    {"vit_gigantic_patch14_224", 1664, 48, 16, 14, 224, 64.0 / 13},
    {"deit_tiny_patch16_224", 192, 12, 3, 16, 224},
    {"deit_small_patch16_224", 384, 12, 6, 16, 224},
    {"deit_base_patch16_224", 768, 12, 12, 16, 224},
    {"deit_base_patch16_384", 768, 12, 12, 16, 384},
    {"deit_tiny_distilled_patch16_224", 192, 12, 3, 16, 224, 4, true, true},
    {"deit_small_distilled_patch16_224", 384, 12, 6, 16, 224, 4, true, true},
    {"deit_base_distilled_patch16_224", 768, 12, 12, 16, 224, 4, true, true},
    {"deit_base_distilled_patch16_384", 768, 12, 12, 16, 384, 4, true, true},
    {"deit3_small_patch16_224", 384, 12, 6, 16, 224, 4, true, false, 1e-6, false},
    {"deit3_small_patch16_384", 384, 12, 6, 16, 384, 4, true, false, 1e-6, false},
    {"deit3_medium_patch16_224", 512, 12, 8, 16, 224, 4, true, false, 1e-6, false},
    {"deit3_base_patch16_224", 768, 12, 12, 16, 224, 4, true, false, 1e-6, false},
    {"deit3_base_patch16_384", 768, 12, 12, 16, 384, 4, true, false, 1e-6, false},
    {"deit3_large_patch16_224", 1024, 24, 16, 16, 224, 4, true, false, 1e-6, false},
    {"deit3_large_patch16_384", 1024, 24, 16, 16, 384, 4, true, false, 1e-6, false},
    {"deit3_huge_patch14_224", 1280, 32, 16, 14, 224, 4, true, false, 1e-6, false},
};
// clang-format on

}  // namespace detail

/// "vit_tiny_patch16_224", "deit_base_distilled_patch16_384", ...
inline std::vector<std::string> vit_names() {
  std::vector<std::string> names;
  for (detail::VitSize const& size : detail::vit_sizes) names.emplace_back(size.name);
  return names;
}

/// The model of that name, for 1000 classes; none where there is no such name. Training by the published recipe adds
/// stochastic depth.
template <class Activation>
std::optional<VitConfig<Activation>> vit_config(std::string_view name, Activation const& activation = {}) {
  for (detail::VitSize const& size : detail::vit_sizes) {
    if (size.name != name) continue;
    return VitConfig<Activation>{.width = size.width,
                                 .depth = size.depth,
                                 .heads = size.heads,
                                 .mlp_ratio = size.mlp_ratio,
                                 .image_height = size.pixels,
                                 .image_width = size.pixels,
                                 .patch_height = size.patch,
                                 .patch_width = size.patch,
                                 .distilled = size.distilled,
                                 .embeds_prefix = size.embeds_prefix,
                                 .qkv_bias = size.qkv_bias,
                                 .activation = activation,
                                 .layer_scale = size.layer_scale};
  }
  return std::nullopt;
}

}  // namespace attn::models
