/// Resampling: along one axis, which numbers of the input make a number of the output, and with which weights.
///
/// Images and maps are resized axis by axis with the same weights; grids of learned positions too.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/concepts.hpp"

#include <algorithm>
#include <cmath>

namespace attn {

/// How numbers between samples are found: from the nearest, from two on a line, or from four on cubics.
enum class Resampling { nearest, bilinear, bicubic };

/// One axis of `input` samples, resized to `output`. Samples are the middles of pixels (PyTorch's
/// `align_corners=False`); outside of the axis its last sample goes on.
///
/// With `antialias`, an axis that shrinks is smoothed first: its filter is as wide as an output pixel, and weights at
/// the borders are scaled to the sum 1 (what Pillow does, and PyTorch's `antialias=True`). Cubics have a = -0.75
/// (PyTorch), with `antialias` a = -0.5 (both).
struct ResamplingAxis {
  Resampling method = Resampling::nearest;
  Index input = 1, output = 1;
  bool antialias = false;
  double start = 0;    // where in the input the output begins
  double scale = 1;    // input pixels in one of the output
  double support = 0;  // how far the filter reaches from its middle
  double stretch = 1;  // of the filter
  Index taps = 1;      // samples that make one of the output

  ResamplingAxis() = default;
  ResamplingAxis(Resampling how, Index from, Index to, bool smooth = false)
      : ResamplingAxis(how, from, to, smooth, 0, static_cast<double>(from)) {}

  /// The part of the input from `begin` on, `length` long, smoothed or interpolated; samples around it count as well.
  ResamplingAxis(Resampling how, Index from, Index to, bool smooth, double begin, double length)
      : method(how), input(from), output(to), antialias(smooth), start(begin) {
    ATTN_CHECK(input > 0 && output > 0, "ResamplingAxis: give positive sizes, got ", input, " and ", output);
    ATTN_CHECK(begin >= 0 && length > 0 && begin + length <= static_cast<double>(from) * (1 + 1e-6),
               "ResamplingAxis: give a part of the ", from, " samples, not ", length, " from ", begin, " on");
    ATTN_CHECK(method != Resampling::nearest || length == static_cast<double>(from),
               "ResamplingAxis: choose bilinear or bicubic for a part of the samples");
    ATTN_CHECK(!antialias || method != Resampling::nearest,
               "ResamplingAxis: choose bilinear or bicubic where antialias is on");
    scale = length / static_cast<double>(output);
    stretch = antialias ? std::max(1.0, scale) : 1.0;
    support = (method == Resampling::bicubic ? 2.0 : 1.0) * stretch;
    Index const all = method == Resampling::nearest ? 1
                      : antialias                   ? 2 * static_cast<Index>(std::ceil(support)) + 1
                                                    : 2 * static_cast<Index>(support);
    taps = std::min(input, all);
  }

  /// Writes the weights of the `taps` samples that make number `i` of the output, and returns the first of these
  /// samples. It never decreases with `i`.
  template <class R>
  ATTN_FUNCTION Index weights_of(Index i, R* weights) const {
    for (Index t = 0; t < taps; ++t) weights[t] = R(0);
    if (method == Resampling::nearest) {
      weights[0] = R(1);
      return i * input / output;
    }
    double const middle = start + (static_cast<double>(i) + 0.5) * scale;
    if (antialias) {
      Index const low = static_cast<Index>(larger(middle - support + 0.5, 0.0));
      Index const high = smaller(static_cast<Index>(middle + support + 0.5), input), first = smaller(low, input - taps);
      double sum = 0;
      for (Index j = low; j < high; ++j) sum += filter((static_cast<double>(j) + 0.5 - middle) / stretch, -0.5);
      for (Index j = low; j < high; ++j) {
        weights[j - first] = R(filter((static_cast<double>(j) + 0.5 - middle) / stretch, -0.5) / sum);
      }
      return first;
    }
    double const at = middle - 0.5;
    Index const begin = static_cast<Index>(Kokkos::floor(at)) + 1 - static_cast<Index>(support);
    Index const first = larger(Index(0), smaller(begin, input - taps));
    for (Index j = begin; j < begin + 2 * static_cast<Index>(support); ++j) {
      Index const inside = larger(Index(0), smaller(j, input - 1));
      weights[inside - first] += R(filter(static_cast<double>(j) - at, -0.75));
    }
    return first;
  }

 private:
  template <class N>
  static ATTN_FUNCTION N larger(N a, N b) {
    return a > b ? a : b;
  }
  template <class N>
  static ATTN_FUNCTION N smaller(N a, N b) {
    return a < b ? a : b;
  }

  /// The triangle, or Keys' cubic with slope `a` at distance 1 (Keys 1981).
  ATTN_FUNCTION double filter(double x, double a) const {
    x = x < 0 ? -x : x;
    if (method == Resampling::bilinear) return x < 1 ? 1 - x : 0.0;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0;
  }
};

}  // namespace attn
