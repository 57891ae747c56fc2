#include "vision/classifier.hpp"

#include "power_name.hpp"
#include "vision/families.hpp"

namespace vision {

std::string ActivationChoice::name() const {
  if (!is_poly()) return activation;
  return power_name(power) + (scale == "none" ? "" : " " + scale);
}

std::unique_ptr<Classifier> make_classifier(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                            Sizes const& sizes) {
  ATTN_CHECK(sizes.family == "swin" || (sizes.depth.numbers.size() == 1 && sizes.heads.numbers.size() == 1),
             "--depth and --heads: give one number each, Swin alone has stages; got ", sizes.depth.text(), " and ",
             sizes.heads.text());
  if (sizes.family == "vit") return make_vit(builder, choice, sizes);
  if (sizes.family == "swin") return make_swin(builder, choice, sizes);
  if (sizes.family == "xcit") return make_xcit(builder, choice, sizes);
  throw attn::Error("make_classifier: there is no family '" + sizes.family + "'");
}

attn::Index count_parameters(ActivationChoice const& choice, Sizes const& sizes) {
  attn::nn::ParameterRegistry registry;
  make_classifier(attn::nn::Builder(registry), choice, sizes);
  return registry.count();
}

}  // namespace vision
