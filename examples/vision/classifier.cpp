#include "vision/classifier.hpp"

#include "power_name.hpp"
#include "vision/activations.hpp"

namespace vision {

std::string ActivationChoice::name() const {
  if (!is_poly()) return activation;
  return power_name(power) + (scale == "none" ? "" : " " + scale);
}

std::unique_ptr<Classifier> make_classifier(Context& ctx, ActivationChoice const& choice, Sizes const& sizes) {
  if (choice.is_poly()) return make_poly_vit(ctx, choice, sizes);
  return make_other_vit(ctx, choice.activation, sizes);
}

}  // namespace vision
