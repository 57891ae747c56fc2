/// Sizes of MaskRcnn by name: on each published XCiT, and a tiny one for small pictures on a CPU.
#pragma once

#include "attn/models/mask_rcnn.hpp"
#include "attn/models/xcit_names.hpp"

#include <algorithm>

namespace attn::models {

/// The layers behind which a detector takes the maps of an XCiT with so many layers: a third, a half, two thirds of the
/// depth, and its end; of 12 layers 3, 5, 7 and 11, as published.
inline std::array<Index, 4> xcit_taps(Index depth) {
  auto const behind = [](Index layers) { return std::max(Index(0), layers - 1); };
  return {behind(depth / 3), behind(depth / 2), behind(2 * depth / 3), behind(depth)};
}

/// "tiny", and "small_12_p16", ...: the XCiT that it stands on.
inline std::vector<std::string> mask_rcnn_names() {
  std::vector<std::string> names = {"tiny"};
  for (std::string const& name : xcit_names()) {
    if (name.ends_with("_224")) names.push_back(name.substr(5, name.size() - 9));
  }
  return names;
}

/// The detector of that name; none where there is no such name. "tiny" has 96 numbers a token, 6 layers, patches of 8
/// pixels, a pyramid of 64 channels and anchors half as large, for pictures of about 128 pixels.
template <class Activation>
std::optional<MaskRcnnConfig<Activation>> mask_rcnn_config(std::string_view name, Activation const& activation = {}) {
  MaskRcnnConfig<Activation> c;
  c.backbone.activation = activation;
  if (name == "tiny") {
    c.backbone.width = 96;
    c.backbone.depth = 6;
    c.backbone.heads = 4;
    c.backbone.patch = 8;
    c.width = 64;
    c.hidden = 256;
    c.mask_depth = 2;
    c.anchors.scales = {4};
    c.finest = 14;
  } else {
    auto const xcit = xcit_config<Activation>("xcit_" + std::string(name) + "_224", activation);
    if (!xcit) return {};
    c.backbone.width = xcit->width;
    c.backbone.depth = xcit->depth;
    c.backbone.heads = xcit->heads;
    c.backbone.patch = xcit->patch;
    c.backbone.eta = xcit->eta;
  }
  c.backbone.taps = xcit_taps(c.backbone.depth);
  return c;
}

}  // namespace attn::models
