// The models with attention of a power times a trained number.
#include "lra/make_model.hpp"

std::unique_ptr<lra::SequenceModel> lra::make_dynamic_poly(Context& ctx, ModelSettings const& s,
                                                           TaskSizes const& sizes) {
  return make_with(ctx, s, sizes, attn::Poly<attn::any_power, attn::DynamicScale>{{}, {s.power}});
}
