/// gradcheck: does a gradient agree with finite differences?
#pragma once

#include "attn/testing/allclose.hpp"

#include <span>

namespace attn::testing {

/// Steps and tolerances of finite differences.
struct GradcheckOptions {
  double step = 3e-4;        ///< of the argument
  double tolerance = 1e-7;   ///< of the largest element of the gradient
  std::size_t at_most = 64;  ///< elements that are tried, spread over the gradient
};

/// `loss(i, shift)` evaluates the function with element i shifted; `gradient` is what is claimed. Central differences
/// of fourth order, so compute in double. At least 1e-3 is taken for the largest element: below, nothing can be
/// measured.
template <class Loss>
Verdict gradcheck(Loss const& loss, std::span<double const> gradient, GradcheckOptions const& options = {}) {
  std::size_t const n = gradient.size(),
                    stride = std::max(std::size_t(1), n / std::max(options.at_most, std::size_t(1)));
  double scale = 1e-3;
  for (double const g : gradient) scale = std::max(scale, std::abs(g));
  double const h = options.step;
  std::ostringstream text;
  text.precision(12);
  std::size_t wrong = 0, tried = 0;
  for (std::size_t i = 0; i < n; i += stride, ++tried) {
    double const difference = (8 * (loss(i, h) - loss(i, -h)) - (loss(i, 2 * h) - loss(i, -2 * h))) / (12 * h);
    if (std::abs(difference - gradient[i]) <= options.tolerance * scale) continue;
    if (++wrong <= 3)
      text << (wrong > 1 ? ", " : "") << "[" << i << "] " << gradient[i] << " instead of " << difference;
  }
  if (wrong == 0) return Verdict();
  std::ostringstream all;
  all << wrong << " of " << tried << " elements tried disagree with finite differences: " << text.str();
  return Verdict(all.str());
}

}  // namespace attn::testing
