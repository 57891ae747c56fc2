#include "vision/classifier.hpp"

#include "power_name.hpp"
#include "vision/families.hpp"

namespace vision {

std::string ActivationChoice::name() const {
  if (!is_poly()) return activation;
  return power_name(power) + (scale == "none" ? "" : " " + scale);
}

std::unique_ptr<Classifier> make_classifier(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                            Sizes const& sizes) {
  Activation const activation = activations().make(choice.activation, {choice.power, choice.scale, choice.factor});
  if (sizes.family == "vit") return make_vit(builder, activation, sizes);
  throw attn::Error("make_classifier: there is no family '" + sizes.family + "'");
}

attn::Index count_parameters(ActivationChoice const& choice, Sizes const& sizes) {
  attn::nn::ParameterRegistry registry;
  make_classifier(attn::nn::Builder(registry), choice, sizes);
  return registry.count();
}

}  // namespace vision
