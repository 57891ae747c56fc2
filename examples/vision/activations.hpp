/// Which types --activation, --power and --scale stand for. The definitions of `make_vit` are spread over several
/// files, because each type is a model of its own to the compiler.
#pragma once

#include "attn/activation/activation.hpp"

#include "vision/vit_classifier.hpp"

namespace vision {

extern template std::unique_ptr<Classifier> make_vit<attn::Softmax>(Context&, Sizes const&);
extern template std::unique_ptr<Classifier> make_vit<attn::Relu>(Context&, Sizes const&);
extern template std::unique_ptr<Classifier> make_vit<attn::Sigmoid>(Context&, Sizes const&);

/// c s^P with each of the three scales.
template <int P>
std::unique_ptr<Classifier> make_poly_vit(Context& ctx, std::string const& scale, Sizes const& sizes);

extern template std::unique_ptr<Classifier> make_poly_vit<1>(Context&, std::string const&, Sizes const&);
extern template std::unique_ptr<Classifier> make_poly_vit<2>(Context&, std::string const&, Sizes const&);
extern template std::unique_ptr<Classifier> make_poly_vit<3>(Context&, std::string const&, Sizes const&);
extern template std::unique_ptr<Classifier> make_poly_vit<4>(Context&, std::string const&, Sizes const&);
extern template std::unique_ptr<Classifier> make_poly_vit<5>(Context&, std::string const&, Sizes const&);
extern template std::unique_ptr<Classifier> make_poly_vit<6>(Context&, std::string const&, Sizes const&);

template <int P>
std::unique_ptr<Classifier> make_poly_vit(Context& ctx, std::string const& scale, Sizes const& sizes) {
  if (scale == "fixed") return make_vit<attn::Poly<P, attn::FixedScale>>(ctx, sizes);
  if (scale == "dynamic") return make_vit<attn::Poly<P, attn::DynamicScale>>(ctx, sizes);
  return make_vit<attn::Poly<P, attn::NoScale>>(ctx, sizes);
}

}  // namespace vision
