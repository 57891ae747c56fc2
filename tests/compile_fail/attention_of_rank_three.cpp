// expected error: attention: pass q, k, v and out as tensors or views of rank 4: (batch, heads, tokens, width)
#include "attn/activation/poly.hpp"
#include "attn/attention/attention.hpp"

int main() {
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace>;
  View const x("x", 1, 1, 4, 8);
  Kokkos::DefaultExecutionSpace const exec;
#ifdef ATTN_EXPECT_SUCCESS
  auto const q = x;
#else
  Kokkos::View<float***, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace> const q("q", 1, 4, 8);
#endif
  attn::attention(exec, attn::Poly<3>{}, q, q, q, q);
}
