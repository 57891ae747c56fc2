// The detector with numbers of fp32 between its layers.
#include "detection/passes.hpp"

namespace train_detection {

template std::array<double, 5> Detector::add_gradients_in<float>(Context&, Images const&, Truths const&,
                                                                 attn::RandomKey) const;
template std::vector<std::vector<attn::detection::Detection>> Detector::detect_in<float>(Context&, Images const&) const;

}  // namespace train_detection
