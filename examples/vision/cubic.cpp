// The models with attention of power 3.
#include "vision/activations.hpp"
#include "vision/vit_classifier.hpp"

std::unique_ptr<vision::Classifier> vision::make_cubic_vit(Context& ctx, std::string const& scale,
                                                           Sizes const& sizes) {
  if (scale == "fixed") return make_vit<attn::Poly<3, attn::FixedScale>>(ctx, sizes);
  if (scale == "dynamic") return make_vit<attn::Poly<3, attn::DynamicScale>>(ctx, sizes);
  return make_vit<attn::Poly<3, attn::NoScale>>(ctx, sizes);
}
