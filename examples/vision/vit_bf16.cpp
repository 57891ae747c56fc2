// ViT with numbers of two bytes between its layers.
#include "vision/vit.hpp"

template class vision::NarrowClassifier<vision::VitModel>;
