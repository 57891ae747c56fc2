// The models with attention of powers 1 and 2.
#include "vision/activations.hpp"

namespace vision {

template std::unique_ptr<Classifier> make_poly_vit<1>(Context&, std::string const&, Sizes const&);
template std::unique_ptr<Classifier> make_poly_vit<2>(Context&, std::string const&, Sizes const&);

}  // namespace vision
