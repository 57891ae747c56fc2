// The models with softmax, relu and sigmoid attention.
#include "vision/activations.hpp"

namespace vision {

template std::unique_ptr<Classifier> make_vit<attn::Softmax>(Context&, Sizes const&);
template std::unique_ptr<Classifier> make_vit<attn::Relu>(Context&, Sizes const&);
template std::unique_ptr<Classifier> make_vit<attn::Sigmoid>(Context&, Sizes const&);

}  // namespace vision
