// Swin with numbers of two bytes between its layers.
#include "vision/swin.hpp"

template class vision::NarrowClassifier<vision::SwinModel>;
