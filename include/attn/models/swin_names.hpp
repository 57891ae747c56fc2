/// The published sizes of Swin, by timm's names.
#pragma once

#include "attn/models/swin.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace attn::models {

namespace detail {

/// Depths are 2, 2, `depth`, 2; heads are 32 numbers wide.
struct SwinSize {
  std::string_view name;
  Index width, depth, pixels;
  std::array<Index, 4> windows;
};

inline constexpr SwinSize swin_sizes[] = {{"swin_tiny_patch4_window7_224", 96, 6, 224, {7, 7, 7, 7}},
                                          {"swin_small_patch4_window7_224", 96, 18, 224, {7, 7, 7, 7}},
                                          {"swin_base_patch4_window7_224", 128, 18, 224, {7, 7, 7, 7}},
                                          {"swin_base_patch4_window12_384", 128, 18, 384, {12, 12, 12, 12}},
                                          {"swin_large_patch4_window7_224", 192, 18, 224, {7, 7, 7, 7}},
                                          {"swin_large_patch4_window12_384", 192, 18, 384, {12, 12, 12, 12}},
                                          {"swin_s3_tiny_224", 96, 6, 224, {7, 7, 14, 7}},
                                          {"swin_s3_small_224", 96, 18, 224, {14, 14, 14, 7}},
                                          {"swin_s3_base_224", 96, 30, 224, {7, 7, 14, 7}}};

}  // namespace detail

/// "swin_tiny_patch4_window7_224", "swin_s3_base_224", ...
inline std::vector<std::string> swin_names() {
  std::vector<std::string> names;
  for (detail::SwinSize const& size : detail::swin_sizes) names.emplace_back(size.name);
  return names;
}

/// The model of that name, for 1000 classes; none where there is no such name. Training by the published recipe adds
/// stochastic depth.
template <class Activation>
std::optional<SwinConfig<Activation>> swin_config(std::string_view name, Activation const& activation = {}) {
  for (detail::SwinSize const& size : detail::swin_sizes) {
    if (size.name != name) continue;
    Index const heads = size.width / 32;
    return SwinConfig<Activation>{.width = size.width,
                                  .depths = {2, 2, size.depth, 2},
                                  .heads = {heads, 2 * heads, 4 * heads, 8 * heads},
                                  .windows = {size.windows.begin(), size.windows.end()},
                                  .image_height = size.pixels,
                                  .image_width = size.pixels,
                                  .activation = activation};
  }
  return std::nullopt;
}

}  // namespace attn::models
