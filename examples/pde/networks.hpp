// Which network is trained: its kind and its activation are chosen at run time.
#pragma once

#include "attn/models/pinn.hpp"
#include "attn/models/pinnsformer.hpp"

#include <any>
#include <cmath>
#include <functional>
#include <utility>

#include "pde/activations.hpp"
#include "pde/settings.hpp"

namespace train_pde {

/// Either network, for the jets of one context: what trains and evaluates it is compiled once for both.
template <class Ctx>
class Network {
 public:
  using X = attn::nn::TensorOf<Ctx, 3>;
  using Forward = attn::nn::Forward<X, std::any>;

  template <class Model>
  requires(!std::same_as<Model, Network>) explicit Network(Model const& model)
      : forward_([model](Ctx& ctx, X const& points) -> Forward {
          auto result = model.forward(ctx, points);
          return {result.value, std::any(std::move(result.tape))};
        }),
        backward_([model](Ctx& ctx, std::any&& tape, X const& d_u) -> X {
          using Tape = attn::nn::TapeOf<Model, Ctx, X>;
          return model.backward(ctx, std::any_cast<Tape&&>(std::move(tape)), d_u);
        }) {}

  Forward forward(Ctx& ctx, X const& points) const { return forward_(ctx, points); }
  X backward(Ctx& ctx, std::any&& tape, X const& d_u) const { return backward_(ctx, std::move(tape), d_u); }

 private:
  std::function<Forward(Ctx&, X const&)> forward_;
  std::function<X(Ctx&, std::any&&, X const&)> backward_;
};

/// The network that the settings ask for, with its parameters in `ctx`, for the jets of `Ord`.
template <class Ord, class Ctx>
auto make_network(Ctx& ctx, Settings const& s, int inputs, int outputs) {
  using Net = Network<attn::nn::Context<typename Ctx::Space, typename Ord::template Jet<typename Ctx::Real>>>;
  if (s.model == "pinn") return Net(attn::models::Pinn<>(ctx, {.inputs = inputs, .outputs = outputs}));
  attn::models::PinnsFormerConfig const config{.inputs = inputs, .outputs = outputs, .scale_tokens = s.scale_keys};
  Activation const activation = activations().make(
      s.common.activation,
      {.power = s.common.power, .scale = s.common.scale, .factor = 1 / std::sqrt(double(s.scale_keys))});
  return Net(attn::models::PinnsFormer<Activation>(ctx, config, activation));
}

}  // namespace train_pde
