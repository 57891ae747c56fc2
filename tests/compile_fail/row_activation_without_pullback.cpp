// expected error: attention: the activation must be pointwise, template <class T> ATTN_FUNCTION T operator()(T score
#include "attn/attention/attention.hpp"

/// The mean of all values: each key counts the same.
struct Mean {
  template <class T>
  struct Stats {
    T count = T(0);
  };
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T) const {
    stats.count += T(1);
    return T(1);
  }
  template <class T>
  ATTN_FUNCTION T numerator(T, Stats<T> const&) const {
    return T(1);
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.count;
  }
#ifdef ATTN_EXPECT_SUCCESS
  template <class T>
  ATTN_FUNCTION T pullback(T, T, T) const {
    return T(0);
  }
#endif
};

int main() {
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace>;
  View const x("x", 1, 1, 4, 8);
  Kokkos::DefaultExecutionSpace const exec;
  attn::attention(exec, Mean{}, x, x, x, x);
}
