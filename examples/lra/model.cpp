#include "lra/model.hpp"

#include "lra/make_model.hpp"
#include "power_name.hpp"

namespace lra {

std::string ModelSettings::name() const {
  std::string text = is_poly() ? power_name(power) + (scale == "none" ? "" : " " + scale) : activation;
  if (attention == "full") return text + ", full attention";
  return factors == "all" ? text : text + ", " + factors + " factors";
}

std::unique_ptr<SequenceModel> make_model(Context& ctx, ModelSettings const& settings, TaskSizes const& sizes) {
  ATTN_CHECK(settings.attention == "full" || settings.landmarks <= sizes.length, "--landmarks: give at most the ",
             sizes.length, " positions of a sequence, got ", settings.landmarks);
  if (settings.activation == "softmax") return make_softmax(ctx, settings, sizes);
  if (!settings.is_poly()) return make_other(ctx, settings, sizes);
  return settings.scale == "dynamic" ? make_dynamic_poly(ctx, settings, sizes) : make_fixed_poly(ctx, settings, sizes);
}

}  // namespace lra
