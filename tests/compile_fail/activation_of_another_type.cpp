// expected error: attention: the activation must be pointwise, template <class T> ATTN_FUNCTION T operator()(T score
#include "attn/attention/attention.hpp"

struct Narrows {
  template <class T>
#ifdef ATTN_EXPECT_SUCCESS
  ATTN_FUNCTION T operator()(T score, attn::Row) const {
#else
  ATTN_FUNCTION int operator()(T score, attn::Row) const {
#endif
      return score;
}
}
;

int main() {
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace>;
  View const x("x", 1, 1, 4, 8);
  Kokkos::DefaultExecutionSpace const exec;
  attn::attention(exec, Narrows{}, x, x, x, x);
}
