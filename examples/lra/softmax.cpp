// The models with softmax attention.
#include "lra/make_model.hpp"

std::unique_ptr<lra::SequenceModel> lra::make_softmax(Context& ctx, ModelSettings const& s, TaskSizes const& sizes) {
  return make_with<attn::Softmax>(ctx, s, sizes);
}
