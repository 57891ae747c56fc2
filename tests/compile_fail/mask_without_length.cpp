// expected error: AttentionOptions: give a mask with keys(attn::Query), which returns an attn::KeyRange, and length(int
// batch
#include "attn/activation/poly.hpp"
#include "attn/attention/attention.hpp"

struct FirstHalf {
  ATTN_FUNCTION attn::KeyRange keys(attn::Query q) const { return {0, q.n_keys / 2}; }
#ifdef ATTN_EXPECT_SUCCESS
  ATTN_FUNCTION int length(int, int n_keys) const { return n_keys; }
#endif
};

int main() {
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace>;
  View const x("x", 1, 1, 4, 8);
  Kokkos::DefaultExecutionSpace const exec;
  attn::attention(exec, attn::Poly<3>{}, x, x, x, x, attn::AttentionOptions<FirstHalf>{});
}
