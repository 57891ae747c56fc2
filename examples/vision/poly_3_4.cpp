// The models with attention of powers 3 and 4.
#include "vision/activations.hpp"

namespace vision {

template std::unique_ptr<Classifier> make_poly_vit<3>(Context&, std::string const&, Sizes const&);
template std::unique_ptr<Classifier> make_poly_vit<4>(Context&, std::string const&, Sizes const&);

}  // namespace vision
