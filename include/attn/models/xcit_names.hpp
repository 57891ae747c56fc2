/// The published sizes of XCiT, by timm's names.
#pragma once

#include "attn/models/xcit.hpp"

#include <string_view>

namespace attn::models {

namespace detail {

/// "xcit_<name>_p<8 or 16>_<224 or 384>".
struct XcitSize {
  std::string_view name;
  Index width, depth, heads;
  double eta;
  bool tokens_norm;
};
inline constexpr XcitSize xcit_sizes[] = {{"nano_12", 128, 12, 4, 1, false},    {"tiny_12", 192, 12, 4, 1, true},
                                          {"small_12", 384, 12, 8, 1, true},    {"tiny_24", 192, 24, 4, 1e-5, true},
                                          {"small_24", 384, 24, 8, 1e-5, true}, {"medium_24", 512, 24, 8, 1e-5, true},
                                          {"large_24", 768, 24, 16, 1e-5, true}};

/// use(name, size, patch, pixels) for each published model.
template <class Use>
void for_each_xcit(Use const& use) {
  for (Index const patch : {16, 8}) {
    for (XcitSize const& size : xcit_sizes) {
      for (Index const pixels : {224, 384}) {
        use("xcit_" + std::string(size.name) + "_p" + std::to_string(patch) + "_" + std::to_string(pixels), size, patch,
            pixels);
      }
    }
  }
}

}  // namespace detail

/// "xcit_nano_12_p16_224", ...: seven sizes, patches of 16 and 8, images of 224 and 384 pixels.
inline std::vector<std::string> xcit_names() {
  std::vector<std::string> names;
  detail::for_each_xcit([&](std::string const& name, auto&&...) { names.push_back(name); });
  return names;
}

/// The model of that name, for 1000 classes; none where there is no such name. Training by the published recipe adds
/// stochastic depth.
template <class Activation>
std::optional<XcitConfig<Activation>> xcit_config(std::string_view name, Activation const& activation = {}) {
  std::optional<XcitConfig<Activation>> found;
  detail::for_each_xcit([&](std::string const& known, detail::XcitSize const& size, Index patch, Index pixels) {
    if (known != name) return;
    found = XcitConfig<Activation>{.width = size.width,
                                   .depth = size.depth,
                                   .heads = size.heads,
                                   .image_height = pixels,
                                   .image_width = pixels,
                                   .patch = patch,
                                   .eta = size.eta,
                                   .tokens_norm = size.tokens_norm,
                                   .activation = activation};
  });
  return found;
}

}  // namespace attn::models
