// The model with softmax attention.
#include "vision/activations.hpp"
#include "vision/vit_classifier.hpp"

std::unique_ptr<vision::Classifier> vision::make_softmax_vit(Context& ctx, Sizes const& sizes) {
  return make_vit<attn::Softmax>(ctx, sizes);
}
