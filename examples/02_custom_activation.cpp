// An activation of your own: seven lines, and it has a backward pass, norms, jets and a check.
#include "attn/attn.hpp"
#include "attn/testing/check_activation.hpp"

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstdio>
#include <string>

/// w = max(s, 0)^2 / n_keys. The derivative comes from evaluating this very function on a number that carries it.
struct SquaredRelu {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    T const positive = attn::max(score, T(0));
    return positive * positive / T(row.n_keys);
  }
};

using Space = Kokkos::DefaultExecutionSpace;
using Memory = Space::memory_space;
using View = Kokkos::View<double****, Kokkos::LayoutRight, Memory>;

struct FillNormal {
  View x;
  attn::RandomKey key;

  ATTN_FUNCTION void operator()(int i) const { x.data()[i] = attn::normal<double>(key, std::uint64_t(i)); }
};

void fill(View const& x, char const* name) {
  attn::RandomKey const key = attn::subkey({.seed = 1}, name);
  Kokkos::parallel_for("fill", Kokkos::RangePolicy<Space>(0, int(x.size())), FillNormal{x, key});
}

double inner(View const& x, View const& y) {
  auto const a = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x);
  auto const b = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), y);
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  auto const report = attn::testing::check_activation(SquaredRelu{});
  std::printf("check_activation: %s\n", report.message().c_str());

  constexpr int B = 1, H = 2, N = 50, D = 16;
  View const q("q", B, H, N, D), k("k", B, H, N, D), v("v", B, H, N, D), out("out", B, H, N, D);
  View const d_out("d_out", B, H, N, D), d_q("d_q", B, H, N, D), d_k("d_k", B, H, N, D), d_v("d_v", B, H, N, D);
  fill(q, "q"), fill(k, "k"), fill(v, "v"), fill(d_out, "d_out");

  Kokkos::View<double**, Kokkos::LayoutRight, Memory> const frobenius("frobenius", B, H);
  attn::AttentionOptions<attn::Causal, attn::AttentionNorms<double, Memory>> const options{
      .norms = {.frobenius = frobenius}};
  Space const exec;
  auto const saved = attn::attention(exec, SquaredRelu{}, q, k, v, out, options);
  attn::attention_backward(exec, SquaredRelu{}, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);

  auto const norms = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), frobenius);
  std::printf("Frobenius norm of the causal attention matrix: %.6f (head 0), %.6f (head 1)\n", std::sqrt(norms(0, 0)),
              std::sqrt(norms(0, 1)));
  // A weight is of degree 2 in q and in k, and out is of degree 1 in v: Euler's identity relates the gradients.
  std::printf("<q, d_q> = %.9f   <k, d_k> = %.9f   2 <out, d_out> = %.9f   2 <v, d_v> = %.9f\n", inner(q, d_q),
              inner(k, d_k), 2 * inner(out, d_out), 2 * inner(v, d_v));
  return report ? 0 : 1;
}
