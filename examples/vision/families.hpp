/// The families of models, each compiled in the file of its name: its published models, and how to make one.
#pragma once

#include <memory>
#include <vector>

#include "vision/classifier.hpp"
#include "vision/models.hpp"

namespace vision {

std::vector<NamedModel> vit_models();
std::unique_ptr<Classifier> make_vit(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                     Sizes const& sizes);

std::vector<NamedModel> swin_models();
std::unique_ptr<Classifier> make_swin(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                      Sizes const& sizes);

std::vector<NamedModel> xcit_models();
std::unique_ptr<Classifier> make_xcit(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                      Sizes const& sizes);

}  // namespace vision
