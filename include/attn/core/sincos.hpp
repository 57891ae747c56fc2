/// Sine and cosine of a vector of floats at once, without branches.
#pragma once

#include <bit>
#include <cstdint>

namespace attn::detail {

/// V is a vector of floats, I the vector of as many 32-bit integers. Absolute error below 1e-7 for |x| <= 1e4, and
/// below 1e-6 up to 1e5 (measured in tests/core/test_sincos.cpp); not for larger ones. Infinities and NaN give NaN.
///
/// x = n pi/2 + r with |r| <= pi/4: pi/2 is subtracted in three parts, of which n times the first two are exact. Then
/// the minimax polynomials of sine and cosine, exchanged and signed by the quadrant n mod 4.
template <class V, class I>
void sin_cos(V x, V& sine, V& cosine) {
  constexpr float two_over_pi = 0.636619772367581343f;
  constexpr float part1 = 1.5703125f, part2 = 4.83751296997e-4f, part3 = 7.549789954891882e-8f;
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits

  V const shifted = x * two_over_pi + shift;
  V const n = shifted - shift;
  I const quadrant = (I)shifted - std::bit_cast<std::int32_t>(shift);
  V const r = ((x - n * part1) - n * part2) - n * part3;
  V const r2 = r * r;

  V s = -1.9515295891e-4f * r2 + 8.3321608736e-3f;
  s = s * r2 + -1.6666654611e-1f;
  s = s * r2 * r + r;
  V c = 2.443315711809948e-5f * r2 + -1.388731625493765e-3f;
  c = c * r2 + 4.166664568298827e-2f;
  c = c * r2 * r2 + (1.0f - 0.5f * r2);

  I const swapped = (quadrant & 1) != 0;
  V const a = swapped ? c : s, b = swapped ? s : c;
  I const sign_of_sine = (quadrant & 2) << 30, sign_of_cosine = ((quadrant + 1) & 2) << 30;
  sine = (V)((I)a ^ sign_of_sine);
  cosine = (V)((I)b ^ sign_of_cosine);
}

}  // namespace attn::detail
