// The detector with numbers of two bytes between its layers.
#include "detection/passes.hpp"

namespace train_detection {

template std::array<double, 5> Detector::add_gradients_in<attn::BFloat16>(Context&, Images const&, Truths const&,
                                                                          attn::RandomKey) const;
template std::vector<std::vector<attn::detection::Detection>> Detector::detect_in<attn::BFloat16>(Context&,
                                                                                                  Images const&) const;

}  // namespace train_detection
