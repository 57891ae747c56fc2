// Which network is trained: its kind and its activation are chosen at run time.
#pragma once

#include "pde/settings.hpp"

#include "attn/activation/activation.hpp"
#include "attn/models/pinn.hpp"
#include "attn/models/pinnsformer.hpp"

#include <cmath>

namespace train_pde {

/// Calls run(model) with the network that the settings ask for.
template <class Ctx, class Run>
int with_network(Ctx& ctx, Settings const& s, int inputs, int outputs, Run const& run) {
  if (s.model == "pinn") {
    return run(attn::models::Pinn<>(ctx, {.inputs = inputs, .outputs = outputs}));
  }
  attn::models::PinnsFormerConfig const config{.inputs = inputs, .outputs = outputs, .scale_tokens = s.scale_keys};
  auto const with = [&]<class A>(A const& activation) {
    return run(attn::models::PinnsFormer<A>(ctx, config, activation));
  };
  if (s.common.activation == "softmax") return with(attn::Softmax{});
  if (s.common.activation == "relu") return with(attn::Relu{});
  if (s.common.activation == "sigmoid") return with(attn::Sigmoid{});
  if (s.common.scale == "dynamic") return with(attn::Poly<attn::any_power, attn::DynamicScale>{{}, {s.common.power}});
  double const factor = s.common.scale == "fixed" ? 1 / std::sqrt(double(s.scale_keys)) : 1.0;
  return with(attn::Poly<attn::any_power, attn::FixedScale>{{factor}, {s.common.power}});
}

}  // namespace train_pde
