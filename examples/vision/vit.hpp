/// The ViT that the program computes with: in fp32 compiled in vit.cpp, in bf16 in vit_bf16.cpp.
#pragma once

#include "attn/models/vit.hpp"

#include "vision/model_classifier.hpp"

namespace vision {

using VitModel = attn::models::Vit<attn::models::VitBlock<Activation>>;

extern template class ModelClassifier<VitModel>;
extern template class NarrowClassifier<VitModel>;

}  // namespace vision
