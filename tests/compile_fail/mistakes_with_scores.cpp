// expected error: a comparison of scores: write attn::where_greater(a, b, if_greater, otherwise), attn::max or
// expected error: a score and a number of another type: write T(0.5) for 0.5
// expected error: std::exp of scores: write attn::exp
// expected error: std::pow of scores: write attn::power<3>
#include "attn/core/pack.hpp"

struct Mine {
  template <class T>
  ATTN_FUNCTION T operator()(T score) const {
#ifdef ATTN_EXPECT_SUCCESS
    T const positive = attn::max(score, T(0)), half = T(0.5) * score;
    T sum = positive + half + attn::exp(score) + attn::power<3>(score) + attn::max(score, T(0.5));
    sum *= T(0.5);
    return attn::where_greater(T(0), score, sum, T(0));
#else
    T const positive = score > T(0) ? score : T(0), half = 0.5 * score;
    T sum = positive + half + std::exp(score) + std::pow(score, 3) + attn::max(score, 0.5);
    sum *= 0.5;
    return 0.0f < score ? sum : T(0);
#endif
  }
};

int main() {
  attn::Pack<float> const scores(1.0f);
  return int(Mine{}(scores)[0]);
}
