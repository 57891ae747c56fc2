// Both paths of attention with a polynomial, and what `attention` takes by itself, timed in turns.
//
//   linear_attention [--longest=N] [--rounds=N] [--heads=N] [--cases=SUBSTRING] [--clock=wall|processor]
//
// For each case (power, mask, pass, head width d) and length N: the best milliseconds of the quadratic and of the
// linear path and of what `attention` chooses, the last by that name, the nanoseconds a token of the linear path, its
// share of the FMA peak (products with sums over monomials alone count), and the chosen time over the better of both.
// Times are the best of all rounds; a round runs each once, so that a machine which others use disturbs all alike.
// Lengths whose quadratic call takes longer than a second have no figure for it.
#include "attn/activation/poly.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"
#include "attn/core/random.hpp"

#include <cstdio>
#include <ctime>

#include "peak.hpp"

namespace {

using attn::AttentionPath;
using attn::Index;
using bench::Exec;

using View = Kokkos::View<float****, Kokkos::LayoutRight, Exec>;
using Activation = attn::Poly<attn::any_power>;

struct Settings {
  Index longest = 65536, rounds = 7, heads = 2;
  bool by_processor = false;
  std::string cases;

  double now() const {
    std::timespec t{};
    clock_gettime(by_processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
  }
};

View random_tensor(Index heads, Index tokens, Index width, std::uint64_t stream) {
  View const x("x", 1, heads, tokens, width);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = attn::normal<float>({.seed = 1, .stream = stream}, i);
  return x;
}

double monomials(Index width, int power) {
  double n = 1;
  for (int m = 1; m <= power; ++m) n = n * double(width + m - 1) / m;
  return n;
}

template <class M>
void measure(Settings const& settings, double peak, int power, char const* mask_name, M const& mask, bool backward,
             Index width) {
  std::string const name = "x^" + std::to_string(power) + " " + mask_name + (backward ? " backward" : " forward") +
                           " d=" + std::to_string(width);
  if (name.find(settings.cases) == std::string::npos) return;
  Exec const exec;
  Activation const a{{}, {power}};
  for (Index tokens = 64, step = 0; tokens <= settings.longest;
       tokens = step++ % 2 == 0 ? tokens * 3 / 2 : tokens * 4 / 3) {
    auto const tensor = [&](std::uint64_t stream) { return random_tensor(settings.heads, tokens, width, stream); };
    auto const q = tensor(1), k = tensor(2), v = tensor(3), out = tensor(4), d_out = tensor(5), d_q = tensor(6),
               d_k = tensor(7), d_v = tensor(8);
    attn::AttentionOptions<M> options{.mask = mask};
    attn::Saved<Activation, float, Exec::memory_space> const saved;
    auto const call = [&](AttentionPath path) {
      options.path = path;
      double const start = settings.now();
      if (backward) {
        attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
      } else {
        attn::attention(exec, a, q, k, v, out, saved, options);
      }
      exec.fence();
      return settings.now() - start;
    };
    options.path = AttentionPath::automatic;
    auto const pass = backward ? attn::Pass::backward : attn::Pass::forward;
    bool const is_linear = attn::describe(pass, exec, a, q, k, v, out, options).find("linear") != std::string::npos;
    double const pairs = double(tokens) * double(tokens) * (std::same_as<M, attn::Causal> ? 0.5 : 1);
    double const flops = pairs * double(settings.heads * width) * (backward ? 10 : 4);
    bool const has_quadratic = flops / (peak * 1e9) < 1;
    double best[3] = {1e300, 1e300, 1e300};
    AttentionPath const paths[] = {AttentionPath::quadratic, AttentionPath::linear, AttentionPath::automatic};
    for (Index round = -1; round < settings.rounds; ++round) {
      for (int p = 0; p < 3; ++p) {
        bool const runs = p == 1 || (p == 0 ? has_quadratic : has_quadratic || is_linear);
        // Short calls several times, so that each takes its share of a millisecond.
        int const repeats = std::clamp(int(2e-3 * peak * 1e9 / flops), 1, 50);
        for (int r = 0; runs && r < repeats; ++r) {
          double const seconds = call(paths[p]);
          if (round >= 0) best[p] = std::min(best[p], seconds);
        }
      }
    }
    double const products =
        double(tokens * settings.heads) * monomials(width, power) * double(width) * (backward ? 10 : 4);
    auto const milliseconds = [](double seconds) {
      char text[320];
      std::snprintf(text, sizeof text, "%9.3f", seconds * 1e3);
      return seconds < 1e300 ? std::string(text) : std::string("        -");
    };
    std::printf("%-28s %6lld %s %s %s %-9s %9.1f %5.1f%% %5.2f\n", name.c_str(), static_cast<long long>(tokens),
                milliseconds(best[0]).c_str(), milliseconds(best[1]).c_str(), milliseconds(best[2]).c_str(),
                is_linear ? "linear" : "quadratic", best[1] / double(tokens * settings.heads) * 1e9,
                products / best[1] * 1e-9 / peak * 100, best[2] / std::min(best[0], best[1]));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(argc, argv);
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    std::string const flag = argv[i];
    auto const is = [&](std::string const& name) { return flag.starts_with("--" + name + "="); };
    std::string const value = flag.substr(std::min(flag.size(), flag.find('=') + 1));
    if (is("longest")) {
      settings.longest = std::stol(value);
    } else if (is("rounds")) {
      settings.rounds = std::stol(value);
    } else if (is("heads")) {
      settings.heads = std::stol(value);
    } else if (is("clock") && (value == "wall" || value == "processor")) {
      settings.by_processor = value == "processor";
    } else if (is("cases")) {
      settings.cases = value;
    } else {
      std::fprintf(stderr,
                   "linear_attention: know --longest=N --rounds=N --heads=N --cases=SUBSTRING "
                   "--clock=wall|processor, not %s\n",
                   argv[i]);
      return 2;
    }
  }
  double const peak = bench::fma_peak();
  std::printf("FMA peak %.0f GFLOP/s, %d threads, %lld heads\n", peak, Exec().concurrency(),
              static_cast<long long>(settings.heads));
  std::printf("%-28s %6s %9s %9s %9s %-9s %9s %6s %5s\n", "case", "N", "quadratic", "linear", "chosen", "", "ns/token",
              "peak", "ratio");
  for (bool const backward : {false, true}) {
    for (Index const width : {32, 64}) measure(settings, peak, 1, "full", attn::Full{}, backward, width);
    for (Index const width : {16, 32, 64}) measure(settings, peak, 2, "full", attn::Full{}, backward, width);
    measure(settings, peak, 3, "full", attn::Full{}, backward, 16);
    measure(settings, peak, 2, "causal", attn::Causal{}, backward, 32);
    measure(settings, peak, 3, "causal", attn::Causal{}, backward, 16);
  }
  return 0;
}
