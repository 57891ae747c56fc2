// Every mask, an activation of a user, biases, dropout, and norms.
#include "attn/attention/norms.hpp"

#include "attention_calls.hpp"

namespace attn_cuda {

struct SquaredRelu {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    T const positive = attn::max(score, T(0));
    return positive * positive / T(row.n_keys);
  }
};

/// Keys of the query's own block, a mask of a user.
struct Blocks {
  int size = 1;

  ATTN_FUNCTION attn::KeyRange keys(attn::Query q) const {
    int const begin = q.index / size * size, end = begin + size;
    return {begin < q.n_keys ? begin : q.n_keys, end < q.n_keys ? end : q.n_keys};
  }
  ATTN_FUNCTION int length(int, int n_keys) const { return n_keys; }
};

template <class A>
void masks(A const& a, View<float> const& x, int const* lengths) {
  using attn::AttentionOptions;
  attend<float>(a, x, AttentionOptions<attn::Causal>{.score_scale = 0.125});
  attend<float>(a, x, AttentionOptions<attn::Window>{.mask = {.before = 3, .after = 2}});
  attend<float>(a, x, AttentionOptions<attn::KeyPadding>{.mask = {lengths}});
  attend<float>(a, x, AttentionOptions<attn::Both<attn::Causal, attn::KeyPadding>>{.mask = {{}, {lengths}}});
  attend<float>(a, x, AttentionOptions<Blocks>{.mask = {16}});
}

void masks(View<float> const& x, int const* lengths) {
  masks(attn::Softmax{}, x, lengths);
  masks(SquaredRelu{}, x, lengths);
}

void biases(View<float> const& x) {
  attn::ScoreBias<float> const bias{attn::Tensor(x), x};
  attend<float>(attn::Softmax{}, x, attn::with_bias(attn::AttentionOptions<>{}, bias));
  attend<float>(SquaredRelu{}, x, attn::with_bias(attn::AttentionOptions<attn::Causal>{}, bias));
}

void dropout(View<float> const& x) {
  attend<float>(attn::Softmax{}, x,
                attn::with_dropout(attn::AttentionOptions<>{}, attn::AttentionDropout{.rate = 0.1}));
}

void norms(View<float> const& x, View<Kokkos::Experimental::half_t> const& narrow, View<double> const& wide) {
  attend_with_norms<float>(attn::Softmax{}, x);
  attend_with_norms<float>(SquaredRelu{}, x);
  attend_with_norms<double>(attn::Softmax{}, wide);
  using Statistics = attn::AttentionStatistics<float, Memory>;
  attn::attention_norms(Exec(), attn::Softmax{}, x, x, Statistics{});
  attn::attention_norms(Exec(), attn::TaylorSoftmax{}, x, x, Statistics{});
  attn::log_sum_exp(Exec(), attn::Saved<attn::Softmax, float, Memory>(1, 1, 1), attn::Tensor<float, 3, Memory>{});
  attend_with_norms<Kokkos::Experimental::half_t>(attn::Poly<3>{}, narrow);
}

}  // namespace attn_cuda
