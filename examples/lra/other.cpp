// The models with relu and sigmoid attention.
#include "lra/make_model.hpp"

std::unique_ptr<lra::SequenceModel> lra::make_other(Context& ctx, ModelSettings const& s, TaskSizes const& sizes) {
  if (s.activation == "relu") return make_with<attn::Relu>(ctx, s, sizes);
  return make_with<attn::Sigmoid>(ctx, s, sizes);
}
