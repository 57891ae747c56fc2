#include "vision/classifier.hpp"

#include "vision/activations.hpp"

namespace vision {

std::string ActivationChoice::name() const {
  if (!is_poly()) return activation;
  char const* const powers[] = {"x", "x²", "x³", "x⁴", "x⁵", "x⁶", "x⁷", "x⁸"};
  return std::string(powers[power - 1]) + (scale == "none" ? "" : " " + scale);
}

std::unique_ptr<Classifier> make_classifier(Context& ctx, ActivationChoice const& choice, Sizes const& sizes) {
  if (choice.is_poly()) return make_poly_vit(ctx, choice, sizes);
  return make_other_vit(ctx, choice.activation, sizes);
}

}  // namespace vision
