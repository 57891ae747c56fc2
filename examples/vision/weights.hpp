/// How a model starts from weights: what is checked, adapted and said.
#pragma once

#include "attn/io/file.hpp"

#include <string>

#include "vision/settings.hpp"

namespace vision {

/// Which family the names in a file of weights look like: "vit" (DeiT, too), "swin", "xcit", or "" for none.
std::string family_of_weights(io::Path const& file);

/// The number of classes that they were trained for: of the rows of their head.
int head_rows(io::Path const& file);

/// Reads weights into the model of `ctx`. Positions of another grid are interpolated. A head for other classes is drawn
/// anew where `new_head` asks for one, and refused otherwise. What was adapted goes to the standard error.
void load_model(io::Path const& file, Context& ctx, Sizes const& sizes, bool new_head);

/// Freezes and slows down what the settings say.
void tune(Tuning const& tuning, Context& ctx, Classifier const& model);

}  // namespace vision
