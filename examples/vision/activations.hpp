/// Which types --activation, --power and --scale stand for. The definitions are in two files, because each type is a
/// model of its own to the compiler; what all models share is compiled once in each file.
#pragma once

#include <string>

#include "vision/classifier.hpp"

namespace vision {

/// Softmax, relu or sigmoid.
std::unique_ptr<Classifier> make_other_vit(Context& ctx, std::string const& activation, Sizes const& sizes);

/// c s^power.
std::unique_ptr<Classifier> make_poly_vit(Context& ctx, ActivationChoice const& choice, Sizes const& sizes);

}  // namespace vision
