/// Fine-tuning: which parameters of a model are trained on, and how fast.
#pragma once

#include "attn/nn/registry.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace attn::nn {

/// Trains the parameters that one of the patterns matches, and freezes all others: `train_only(ctx.parameters,
/// {"head.*"})`.
inline void train_only(ParameterRegistry& registry, std::vector<std::string> const& patterns) {
  registry.check_patterns(patterns);
  registry.set("*", {.trained = false});
  for (auto const& pattern : patterns) registry.set(pattern, {.trained = true});
}

/// Layer-wise learning rates, as timm's `param_groups_layer_decay`: the factor of layer i of n is decay^(n - i), that
/// of the parameters in no layer (the head) is 1. `layers` lists patterns of names from the input to the output;
/// `model.layers()` gives those of a model that has them. The first layer that matches a name counts.
inline void set_layer_decay(ParameterRegistry& registry, double decay,
                            std::vector<std::vector<std::string>> const& layers) {
  ATTN_CHECK(decay > 0 && decay <= 1, "set_layer_decay: give a decay above 0 and at most 1, got ", decay);
  for (auto const& patterns : layers) registry.check_patterns(patterns);
  std::vector<std::string> names;
  for (auto const& entry : registry.entries()) names.push_back(entry.name);
  for (auto const& name : names) {
    auto const layer = std::find_if(layers.begin(), layers.end(), [&](auto const& patterns) {
      return std::any_of(patterns.begin(), patterns.end(), [&](auto const& p) { return matches(p, name); });
    });
    registry.set(name, {.learning_rate_factor = std::pow(decay, double(layers.end() - layer))});
  }
}

}  // namespace attn::nn
