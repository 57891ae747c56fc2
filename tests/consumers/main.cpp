// The smallest program of another project: it finds the headers, links Kokkos and runs.
#include <attn/core/check.hpp>
#include <attn/version.hpp>

#include <Kokkos_Core.hpp>
#include <cstdio>

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  int sum = 0;
  Kokkos::parallel_reduce(10, KOKKOS_LAMBDA(int i, int& part) { part += i; }, sum);
  ATTN_CHECK(sum == 45, "consumer: expected 45, got ", sum);
  std::printf("attn %d on %s\n", ATTN_VERSION, Kokkos::DefaultExecutionSpace::name());
}
