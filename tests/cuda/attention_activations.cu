// Every activation of the library, in fp32.
#include "attention_calls.hpp"

namespace attn_cuda {

void activations(View<float> const& x, float const* scale, float* d_scale) {
  attend<float>(attn::Softmax{}, x);
  attend<float>(attn::Relu{}, x);
  attend<float>(attn::Sigmoid{.log_n = 1}, x);
  attend<float>(attn::Poly<1>{}, x);
  attend<float>(attn::Poly<2>{}, x);
  attend<float>(attn::Poly<3>{}, x);
  attend<float>(attn::Poly<4, attn::FixedScale>{}, x);
  attend<float>(attn::Poly<5, attn::FixedScale>{{0.5}}, x);
  attend<float>(attn::Poly<6, attn::DynamicScale>{{scale, d_scale}}, x);
  attend<float>(attn::Poly<3, attn::DynamicScale>{{scale, d_scale, true}}, x);
}

}  // namespace attn_cuda
