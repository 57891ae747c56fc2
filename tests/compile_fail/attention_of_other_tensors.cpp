// expected error: attention: pass q, k, v and out as tensors or views of rank 4: (batch, heads, tokens, width)
// expected error: attention: give q, k, v and out of one precision, all of double or all of float and narrower
#include "attn/activation/poly.hpp"
#include "attn/attention/attention.hpp"

using Exec = Kokkos::DefaultExecutionSpace;

int main() {
  Kokkos::View<float****, Kokkos::LayoutRight, Exec> const x("x", 1, 1, 4, 8);
#ifdef ATTN_EXPECT_SUCCESS
  auto const q = x, k = x;
#else
  Kokkos::View<float***, Kokkos::LayoutRight, Exec> const q("q", 1, 4, 8);
  Kokkos::View<double****, Kokkos::LayoutRight, Exec> const k("k", 1, 1, 4, 8);
#endif
  attn::attention(Exec(), attn::Poly<3>{}, q, q, q, q);
  attn::attention(Exec(), attn::Poly<3>{}, x, k, x, x);
}
