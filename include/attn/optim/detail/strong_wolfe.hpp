/// A line search for a step that satisfies the strong Wolfe conditions, by bracketing and cubic interpolation (Nocedal
/// and Wright, algorithms 3.5 and 3.6), with the safeguards of the widely used implementation, so that iterates agree.
#pragma once

#include "attn/core/check.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace attn::optim::detail {

/// What is known about the loss at one step length along the direction. `gradient` names stored gradient number i.
struct LinePoint {
  double step = 0;
  double loss = 0;
  double slope = 0;  // gradient . direction
  int gradient = 0;

  bool finite() const { return std::isfinite(loss) && std::isfinite(slope); }
};

struct StrongWolfe {
  double decrease = 1e-4;  // c1: loss(t) <= loss(0) + c1 t slope(0)
  double curvature = 0.9;  // c2: |slope(t)| <= c2 |slope(0)|
  double tolerance_change = 1e-9;
  int max_evaluations = 25;
  int max_shortenings = 8;  // of a step, to a tenth each, where the loss or its slope is not finite
};

/// The minimum of the cubic through two points with slopes, kept within [low, high].
inline double cubic_minimum(LinePoint const& a, LinePoint const& b, double low, double high) {
  double const d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step);
  double const square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0)) return (low + high) / 2;
  double const d2 = std::sqrt(square);
  double const at = a.step <= b.step
                        ? b.step - (b.step - a.step) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
                        : a.step - (a.step - b.step) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2));
  return std::min(std::max(at, low), high);
}

/// `evaluate(step, gradient)` returns the loss and slope at a step length and stores the gradient in place number
/// `gradient`: 0 holds the one at step 0, and 1 ... 3 are free. `longest` is the largest magnitude in the direction.
/// Returns the best point; its gradient is still in its place; where no step that was tried led to finite numbers, a
/// point that is not finite. `evaluations` counts the calls.
template <class Evaluate>
LinePoint strong_wolfe(StrongWolfe const& options, LinePoint const& start, double first_step, double longest,
                       Evaluate&& evaluate, int& evaluations) {
  auto const too_high = [&](LinePoint const& p) {
    return p.loss > start.loss + options.decrease * p.step * start.slope;
  };
  auto const flat = [&](LinePoint const& p) { return std::abs(p.slope) <= -options.curvature * start.slope; };
  // A gradient lives in one of four places; at most three points are remembered at any time.
  auto const free_place = [](LinePoint const& a, LinePoint const& b) {
    int place = 1;
    while (place == a.gradient || place == b.gradient) ++place;
    return place;
  };
  // A step from a good point that leads out of what can be computed is a step too far.
  auto const at = [&](double from, double step, int place) {
    LinePoint point;
    for (int tries = 0; tries <= options.max_shortenings; ++tries, step = from + (step - from) / 10) {
      ++evaluations;
      point = evaluate(step, place);
      if (point.finite()) break;
    }
    return point;
  };

  LinePoint previous = start;
  LinePoint current = at(0, first_step, 1);
  std::array<LinePoint, 2> bracket{start, current};
  bool bracketed = false, done = false;
  int iteration = 0;
  for (; iteration < options.max_evaluations; ++iteration) {
    if (!current.finite()) return current;
    if (too_high(current) || (iteration > 1 && current.loss >= previous.loss) ||
        (!flat(current) && current.slope >= 0)) {
      bracket = {previous, current};
      bracketed = true;
      break;
    }
    if (flat(current)) return current;
    double const low = current.step + 0.01 * (current.step - previous.step), high = 10 * current.step;
    double const next = cubic_minimum(previous, current, low, high);
    int const place = free_place(current, current);
    previous = current;
    current = at(previous.step, next, place);
  }
  if (!current.finite()) return current;
  if (!bracketed) bracket = {start, current};

  // The bracket's ends: the one with the lower loss, and the other.
  int low = bracket[0].loss <= bracket[1].loss ? 0 : 1;
  bool insufficient_progress = false;
  while (!done && iteration < options.max_evaluations) {
    auto const [least, most] = std::minmax(bracket[0].step, bracket[1].step);
    if (std::abs(bracket[1].step - bracket[0].step) * longest < options.tolerance_change) break;
    double step = cubic_minimum(bracket[0], bracket[1], least, most);
    // A trial near an end of the bracket twice in a row, or at the end, is moved away from it.
    double const margin = 0.1 * (most - least);
    if (std::min(most - step, step - least) < margin) {
      if (insufficient_progress || step >= most || step <= least) {
        step = std::abs(step - most) < std::abs(step - least) ? most - margin : least + margin;
        insufficient_progress = false;
      } else {
        insufficient_progress = true;
      }
    } else {
      insufficient_progress = false;
    }
    current = at(bracket[std::size_t(low)].step, step, free_place(bracket[0], bracket[1]));
    if (!current.finite()) return current;
    ++iteration;
    int const high = 1 - low;
    if (too_high(current) || current.loss >= bracket[std::size_t(low)].loss) {
      bracket[std::size_t(high)] = current;
      low = bracket[0].loss <= bracket[1].loss ? 0 : 1;
    } else {
      if (flat(current)) {
        done = true;
      } else if (current.slope * (bracket[std::size_t(high)].step - bracket[std::size_t(low)].step) >= 0) {
        bracket[std::size_t(high)] = bracket[std::size_t(low)];
      }
      bracket[std::size_t(low)] = current;
    }
  }
  return bracket[std::size_t(low)];
}

}  // namespace attn::optim::detail
