// Theorem 4.1: do softmax's norms stay below sqrt N and 2 sqrt N, for random and for adversarial matrices?
#include "attn/core/random.hpp"
#include "attn/core/scalar.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "theory/experiments.hpp"
#include "theory/measure.hpp"

namespace theory {
namespace {

/// A matrix of scores (N, N), by its entries.
struct Family {
  std::string name;
  bool random;
  std::function<float(int n, int row, int column, attn::RandomKey key)> entry;
};

std::vector<Family> families() {
  auto const gauss = [](double deviation) {
    return [=](int n, int i, int j, attn::RandomKey key) {
      return float(deviation *
                   double(attn::normal<float>(key, std::uint64_t(i) * std::uint64_t(n) + std::uint64_t(j))));
    };
  };
  auto const one_hot = [](int, int i, int j, attn::RandomKey) { return i == j ? 60.0f : 0.0f; };
  auto const two_equal = [](int n, int i, int j, attn::RandomKey) { return j == i || j == (i + 1) % n ? 60.0f : 0.0f; };
  auto const constant = [](int, int, int, attn::RandomKey) { return 1.0f; };
  return {{"Gaussian, σ = 0.1", true, gauss(0.1)},
          {"Gaussian, σ = 1", true, gauss(1)},
          {"Gaussian, σ = 10", true, gauss(10)},
          {"Gaussian, σ = 100", true, gauss(100)},
          {"one large score a row", false, one_hot},
          {"two large scores a row", false, two_equal},
          {"constant", false, constant}};
}

}  // namespace

void run_bounds(attn::io::CommonOptions const& common, BoundsOptions const& options) {
  auto const lengths = options.tokens.values("bounds");
  Lab lab(common.out, "bounds");
  lab.set("trials", double(options.trials));
  lab.set("seed", double(common.seed));
  Choice const choice = choice_of(common.activation, common.power, common.scale);
  lab.set("activation", choice.label());
  Table table{.columns = {"scores", "tokens", "frobenius", "bound", "jacobian", "jacobian_bound", "within"}};
  io::LinePlot frobenius{.title = "Attention matrix",
                         .x_label = "tokens N",
                         .y_label = "largest Frobenius norm",
                         .log_x = true,
                         .log_y = true};
  io::LinePlot jacobian = frobenius;
  jacobian.title = "Its Jacobian by the scores";
  auto const all = families();
  bool holds = true;
  for (std::size_t f = 0; f < all.size(); ++f) {
    io::Series a{.label = all[f].name}, j{.label = all[f].name};
    for (int const n : lengths) {
      // The scores are q_i.k_j with the rows of the matrix as queries and those of the unit matrix as keys.
      Heads q{.tokens = n, .width = n}, k = q;
      k.values.assign(std::size_t(n) * std::size_t(n), 0);
      for (int i = 0; i < n; ++i) k.values[std::size_t(i) * std::size_t(n) + std::size_t(i)] = 1;
      double largest = 0, largest_jacobian = 0;
      int const trials = all[f].random ? (n > 1024 ? 1 : options.trials) : 1;
      for (int trial = 0; trial < trials; ++trial) {
        attn::RandomKey const key{.seed = common.seed, .stream = std::uint64_t(1000 * trial) + f};
        q.values.resize(k.values.size());
        for (int i = 0; i < n; ++i) {
          for (int c = 0; c < n; ++c) {
            q.values[std::size_t(i) * std::size_t(n) + std::size_t(c)] = all[f].entry(n, i, c, key);
          }
        }
        Measured const m = measure(choice, q, k, 1);
        largest = attn::max(largest, m.frobenius[0]);  // a NaN stays one
        largest_jacobian = attn::max(largest_jacobian, m.jacobian[0]);
      }
      double const root = std::sqrt(double(n)), rounding = 1 + 1e-5;
      bool const within = largest <= root * rounding && largest_jacobian <= 2 * root * rounding;
      holds = holds && within;
      table.rows.push_back({all[f].name, double(n), largest, root, largest_jacobian, 2 * root,
                            within ? std::string("yes") : std::string("no")});
      a.x.push_back(n), a.y.push_back(largest);
      j.x.push_back(n), j.y.push_back(largest_jacobian > 1e-6 ? largest_jacobian : NAN);
    }
    if (!all[f].random) a.color = j.color = f == 6 ? 7 : int(f);  // black is for the bound
    frobenius.series.push_back(std::move(a));
    jacobian.series.push_back(std::move(j));
  }
  auto const bound = [&](io::LinePlot& plot, std::string const& label, double factor) {
    io::Series line{.label = label, .style = io::LineStyle::dashed, .color = 6};
    for (int const n : lengths) line.x.push_back(n), line.y.push_back(factor * std::sqrt(double(n)));
    plot.series.push_back(std::move(line));
    plot.x_range = io::Range(lengths.front() / 1.2, lengths.back() * 1.2);
  };
  bound(frobenius, "bound √N", 1);
  bound(jacobian, "bound 2√N", 2);
  lab.write("bounds", table);
  lab.draw("bounds", {.title = choice.label() + ": norms over the length",
                      .panels = {frobenius, jacobian},
                      .columns = 2,
                      .panel_width = 520,
                      .panel_height = 470});
  lab.finish(table);
  print(table);
  std::printf("theorem 4.1 %s for %s\n", holds ? "holds on all of them" : "does not hold", choice.label().c_str());
}

}  // namespace theory
