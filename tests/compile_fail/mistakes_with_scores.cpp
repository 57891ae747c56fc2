// expected error: a comparison of scores: write attn::where_greater(a, b, if_greater, otherwise), attn::max or
// expected error: a score and a number of another type: write T(0.5) for 0.5
// expected error: std::exp of scores: write attn::exp
#include "attn/core/pack.hpp"

struct Mine {
  template <class T>
  ATTN_FUNCTION T operator()(T score) const {
#ifdef ATTN_EXPECT_SUCCESS
    T const positive = attn::max(score, T(0)), half = T(0.5) * score;
    return positive + half + attn::exp(score);
#else
    T const positive = score > T(0) ? score : T(0), half = 0.5 * score;
    return positive + half + std::exp(score);
#endif
  }
};

int main() {
  attn::Pack<float> const scores(1.0f);
  return int(Mine{}(scores)[0]);
}
