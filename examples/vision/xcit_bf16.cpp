// XCiT with numbers of two bytes between its layers.
#include "vision/xcit.hpp"

template class vision::NarrowClassifier<vision::XcitModel>;
