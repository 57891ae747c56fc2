// expected error: attention: the activation must be pointwise, template <class T> ATTN_FUNCTION T operator()(T score
#include "attn/attention/attention.hpp"

struct Nothing {
#ifdef ATTN_EXPECT_SUCCESS
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row) const {
    return score;
  }
#endif
};

int main() {
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace>;
  View const x("x", 1, 1, 4, 8);
  Kokkos::DefaultExecutionSpace const exec;
  attn::attention(exec, Nothing{}, x, x, x, x);
}
