// The models with polynomial attention: their kernels differ, most of what is compiled for them does not.
#include "vision/activations.hpp"
#include "vision/vit_classifier.hpp"

std::unique_ptr<vision::Classifier> vision::make_poly_vit(Context& ctx, ActivationChoice const& choice,
                                                          Sizes const& sizes) {
  using attn::DynamicScale, attn::FixedScale, attn::Poly, attn::any_power;
  bool const dynamic = choice.scale == "dynamic";
  FixedScale const constant{choice.scale == "none" ? 1.0 : choice.factor};  // no scale is one of 1
  if (choice.power == 3) {  // the paper's choice, with kernels of its own
    if (dynamic) return make_vit<Poly<3, DynamicScale>>(ctx, sizes);
    return make_vit(ctx, sizes, Poly<3, FixedScale>{constant});
  }
  if (dynamic) return make_vit(ctx, sizes, Poly<any_power, DynamicScale>{{}, {choice.power}});
  return make_vit(ctx, sizes, Poly<any_power, FixedScale>{constant, {choice.power}});
}
