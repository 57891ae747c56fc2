// The models with attention of powers 5 and 6.
#include "vision/activations.hpp"

namespace vision {

template std::unique_ptr<Classifier> make_poly_vit<5>(Context&, std::string const&, Sizes const&);
template std::unique_ptr<Classifier> make_poly_vit<6>(Context&, std::string const&, Sizes const&);

}  // namespace vision
