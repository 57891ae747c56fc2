// The models with attention of a power times a fixed number: 1, or 1/sqrt(n_keys).
#include "lra/make_model.hpp"

std::unique_ptr<lra::SequenceModel> lra::make_fixed_poly(Context& ctx, ModelSettings const& s, TaskSizes const& sizes) {
  return make_with(ctx, s, sizes,
                   attn::Poly<attn::any_power, attn::FixedScale>{{s.scale == "none" ? 1.0 : 0.0}, {s.power}});
}
