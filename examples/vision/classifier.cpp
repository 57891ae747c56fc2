#include "vision/classifier.hpp"

#include "vision/activations.hpp"

namespace vision {

std::string ActivationChoice::name() const {
  if (!is_poly()) return activation;
  char const* const powers[] = {"x", "x²", "x³", "x⁴", "x⁵", "x⁶"};
  return std::string(powers[power - 1]) + (scale == "none" ? "" : " " + scale);
}

std::unique_ptr<Classifier> make_classifier(Context& ctx, ActivationChoice const& choice, Sizes const& sizes) {
  if (choice.activation == "softmax") return make_vit<attn::Softmax>(ctx, sizes);
  if (choice.activation == "relu") return make_vit<attn::Relu>(ctx, sizes);
  if (choice.activation == "sigmoid") return make_vit<attn::Sigmoid>(ctx, sizes);
  switch (choice.is_poly() ? choice.power : 0) {
    case 1:
      return make_poly_vit<1>(ctx, choice.scale, sizes);
    case 2:
      return make_poly_vit<2>(ctx, choice.scale, sizes);
    case 3:
      return make_poly_vit<3>(ctx, choice.scale, sizes);
    case 4:
      return make_poly_vit<4>(ctx, choice.scale, sizes);
    case 5:
      return make_poly_vit<5>(ctx, choice.scale, sizes);
    case 6:
      return make_poly_vit<6>(ctx, choice.scale, sizes);
  }
  throw attn::Error("make_classifier: there is no activation " + choice.activation + " of power " +
                    std::to_string(choice.power));
}

}  // namespace vision
