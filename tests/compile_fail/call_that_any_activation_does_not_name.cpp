// expected error: AnyActivation: name this call of attention, attn::AttentionCall<execution space, scalar, mask,
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"

int main() {
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace>;
  View const x("x", 1, 1, 4, 8);
  Kokkos::DefaultExecutionSpace const exec;
  using Mask = attn::Causal;
#ifdef ATTN_EXPECT_SUCCESS
  using Any = attn::BasicAnyActivation<attn::AttentionCall<Kokkos::DefaultExecutionSpace, float, Mask>>;
#else
  using Any = attn::BasicAnyActivation<attn::AttentionCall<Kokkos::DefaultExecutionSpace, float>>;
#endif
  attn::attention(exec, Any(attn::Softmax{}), x, x, x, x, attn::AttentionOptions<Mask>{});
}
