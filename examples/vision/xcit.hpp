/// The XCiT that the program computes with: in fp32 compiled in xcit.cpp, in bf16 in xcit_bf16.cpp.
#pragma once

#include "attn/models/xcit.hpp"

#include "vision/model_classifier.hpp"

namespace vision {

using XcitModel = attn::models::Xcit<Activation>;

extern template class ModelClassifier<XcitModel>;
extern template class NarrowClassifier<XcitModel>;

}  // namespace vision
