// Attention with softmax and with x^3: forward, backward, and the norms of the attention matrix.
#include "attn/attn.hpp"

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstdio>

using Space = Kokkos::DefaultExecutionSpace;
using Memory = Space::memory_space;
using View = Kokkos::View<float****, Kokkos::LayoutRight, Memory>;

/// Standard normal numbers; they are functions of (seed, index), so they are the same on every machine.
struct FillNormal {
  View x;
  attn::RandomKey key;

  ATTN_FUNCTION void operator()(int i) const { x.data()[i] = attn::normal<float>(key, std::uint64_t(i)); }
};

View random_view(char const* name, int batch, int heads, int tokens, int width) {
  View const x(name, batch, heads, tokens, width);
  attn::RandomKey const key = attn::subkey({.seed = 1}, name);
  Kokkos::parallel_for("fill", Kokkos::RangePolicy<Space>(0, int(x.size())), FillNormal{x, key});
  return x;
}

template <class Activation>
void attend(char const* name, Activation const& activation) {
  // B sequences, H heads, N queries, M keys; D numbers for a query or key, E for a value.
  constexpr int B = 2, H = 3, N = 197, M = 197, D = 64, E = 64;
  View const q = random_view("q", B, H, N, D), k = random_view("k", B, H, M, D), v = random_view("v", B, H, M, E);
  View const out("out", B, H, N, E);
  Space const exec;

  // Of a loss: its gradient with respect to out, and room for those with respect to q, k and v.
  View const d_out = random_view("d_out", B, H, N, E);
  View const d_q("d_q", B, H, N, D), d_k("d_k", B, H, M, D), d_v("d_v", B, H, M, E);

  // The N x M matrix of weights is never stored; its norms are by-products that options may ask for.
  Kokkos::View<float**, Kokkos::LayoutRight, Memory> const frobenius("frobenius", B, H), jacobian("jacobian", B, H);
  using Norms = attn::AttentionNorms<float, Memory>;
  attn::AttentionOptions<attn::Full, Norms> const options{.norms = {frobenius, jacobian}};

  // out_i = sum_j a(q_i.k_j / sqrt(D)) v_j over all keys j, and its gradients
  auto const saved = attn::attention(exec, activation, q, k, v, out, options);
  attn::attention_backward(exec, activation, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);

  auto const value = [](auto const& view) {  // the first element, on the host
    return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), view).data()[0];
  };
  std::printf("%-18s %9.4f %9.4f %9.4f %9.4f %12.3f %12.3f\n", name, value(out), value(d_q), value(d_k), value(d_v),
              std::sqrt(value(frobenius)), std::sqrt(value(jacobian)));
}

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  std::printf("%-18s %9s %9s %9s %9s %12s %12s\n", "activation", "out[0]", "d_q[0]", "d_k[0]", "d_v[0]", "||A||_F",
              "||dA/dS||_F");
  attend("softmax", attn::Softmax{});
  attend("x^3", attn::Poly<3>{});
  attend("x^3 / sqrt(N)", attn::Poly<3, attn::FixedScale>{});

  // A scale that is trained lives where the kernels run, and so does its gradient.
  Kokkos::View<float, Memory> const scale("scale"), d_scale("d_scale");
  Kokkos::deep_copy(scale, 0.05f);
  attend("0.05 x^3, trained", attn::Poly<3, attn::DynamicScale>{{scale.data(), d_scale.data()}});
  float gradient = 0;
  Kokkos::deep_copy(gradient, d_scale);
  std::printf("\nsqrt(N) is %.3f: what ||A||_F never passes with softmax. The scale's gradient is %.3f.\n",
              std::sqrt(197.0), gradient);
}
