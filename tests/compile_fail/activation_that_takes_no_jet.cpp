// expected error: activation: write operator() as a template over the score's type, so that it also takes a jet, or
#include "attn/attention/attention.hpp"

struct OnlyFloat {
  ATTN_FUNCTION float operator()(float score, attn::Row) const { return score * score; }
#ifdef ATTN_EXPECT_SUCCESS
  ATTN_FUNCTION float slope(float score, attn::Row) const { return 2 * score; }
#endif
};

int main() {
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace>;
  View const x("x", 1, 1, 4, 8);
  Kokkos::DefaultExecutionSpace const exec;
  attn::attention(exec, OnlyFloat{}, x, x, x, x);  // said before a backward pass needs it
}
