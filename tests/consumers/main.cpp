// The smallest program of another project: equal scores make softmax attention the mean of the values.
#include <attn/activation/softmax.hpp>
#include <attn/attention/attention.hpp>
#include <attn/core/check.hpp>
#include <attn/version.hpp>

#include <Kokkos_Core.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using View = Kokkos::View<float****, Kokkos::LayoutRight, Exec::memory_space>;
  int const n_keys = 5;
  View q("q", 1, 1, 2, 3), k("k", 1, 1, n_keys, 3), v("v", 1, 1, n_keys, 1), out("out", 1, 1, 2, 1);
  for (int j = 0; j < n_keys; ++j) v(0, 0, j, 0) = float(j);
  Exec const exec;
  attn::attention(exec, attn::Softmax{}, q, k, v, out);
  exec.fence();
  for (int i = 0; i < 2; ++i)
    ATTN_CHECK(out(0, 0, i, 0) > 1.999f && out(0, 0, i, 0) < 2.001f, "consumer: expected 2, got ", out(0, 0, i, 0));
  std::printf("attn %d on %s: %g\n", ATTN_VERSION, Exec::name(), out(0, 0, 0, 0));
}
