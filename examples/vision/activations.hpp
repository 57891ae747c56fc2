/// Which types --activation, --power and --scale stand for. The definitions are spread over several files, because each
/// type is a model of its own to the compiler.
#pragma once

#include <string>

#include "vision/classifier.hpp"

namespace vision {

std::unique_ptr<Classifier> make_softmax_vit(Context& ctx, Sizes const& sizes);

/// Relu or sigmoid.
std::unique_ptr<Classifier> make_other_vit(Context& ctx, std::string const& activation, Sizes const& sizes);

/// c s³, the paper's choice, with kernels of its own for each of the scales.
std::unique_ptr<Classifier> make_cubic_vit(Context& ctx, std::string const& scale, Sizes const& sizes);

/// c s^power for any power.
std::unique_ptr<Classifier> make_poly_vit(Context& ctx, int power, std::string const& scale, Sizes const& sizes);

}  // namespace vision
