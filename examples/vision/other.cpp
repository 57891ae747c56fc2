// The models with softmax, relu and sigmoid attention.
#include "vision/activations.hpp"
#include "vision/vit_classifier.hpp"

std::unique_ptr<vision::Classifier> vision::make_other_vit(Context& ctx, std::string const& activation,
                                                           Sizes const& sizes) {
  if (activation == "softmax") return make_vit<attn::Softmax>(ctx, sizes);
  if (activation == "relu") return make_vit<attn::Relu>(ctx, sizes);
  return make_vit<attn::Sigmoid>(ctx, sizes);
}
