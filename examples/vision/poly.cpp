// The models with attention of any power.
#include "vision/activations.hpp"
#include "vision/vit_classifier.hpp"

std::unique_ptr<vision::Classifier> vision::make_poly_vit(Context& ctx, int power, std::string const& scale,
                                                          Sizes const& sizes) {
  using attn::any_power, attn::Poly;
  if (scale == "dynamic") return make_vit(ctx, sizes, Poly<any_power, attn::DynamicScale>{{}, {power}});
  return make_vit(ctx, sizes, Poly<any_power, attn::FixedScale>{{scale == "none" ? 1.0 : 0.0}, {power}});
}
