/// The families of models, each compiled in the file of its name.
#pragma once

#include <memory>

#include "vision/activations.hpp"
#include "vision/classifier.hpp"

namespace vision {

std::unique_ptr<Classifier> make_vit(attn::nn::Builder const& builder, Activation const& activation,
                                     Sizes const& sizes);

}  // namespace vision
