// expected error: AnyActivation: give an activation for all scalars of the calls: pointwise
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"

int main() {
#ifdef ATTN_EXPECT_SUCCESS
  attn::Softmax const a;
#else
  double const a = 3;
#endif
  return attn::AnyActivation(a).n_parameters();
}
