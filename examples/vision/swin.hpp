/// The Swin that the program computes with: in fp32 compiled in swin.cpp, in bf16 in swin_bf16.cpp.
#pragma once

#include "attn/models/swin.hpp"

#include "vision/model_classifier.hpp"

namespace vision {

using SwinModel = attn::models::Swin<attn::nn::AnyWindowActivation>;

extern template class ModelClassifier<SwinModel>;
extern template class NarrowClassifier<SwinModel>;

}  // namespace vision
