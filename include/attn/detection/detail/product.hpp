/// product: a multiplication whose result is rounded before anything is added to it.
#pragma once

namespace attn::detection::detail {

/// a b, rounded. Compilers may fuse a product with the sum that it enters, which rounds once less than the published
/// evaluation does; where a coordinate then falls on one side of a pixel's border or on the other would differ.
inline double product(double a, double b) {
  double const volatile rounded = a * b;
  return rounded;
}

}  // namespace attn::detection::detail
