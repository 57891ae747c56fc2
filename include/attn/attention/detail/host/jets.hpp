/// Attention of jets on the host: many short sequences at once, one in each lane of a vector.
///
/// Sequences that carry derivatives are short (the pseudo-sequences of PDE solvers have five tokens), and many. A block
/// is W sequences of one head; its tokens are copied into arrays whose scalar is a jet of packs, on which the textbook
/// runs. No N x M matrix is stored. A mask that treats the sequences of a block differently leaves one lane at work.
#pragma once

#include "attn/attention/detail/host/jet_tokens.hpp"
#include "attn/attention/detail/host/rows.hpp"
#include "attn/attention/reference.hpp"

#include <string>

namespace attn::detail::host {

/// What one thread works in.
template <class S>
struct JetScratch {
  JetTokens<S> q, k, v, out, d_out, d_q, d_k, d_v;
  std::vector<S> scores, weights, d_weights;
};

/// Calls body(first sequence, lanes, head, part) for all groups, on all threads; parts are numbered from 0.
template <class S, class Exec, class Q, class K, class M, class Body>
void for_jet_groups(Exec const& exec, char const* name, Q const& q, K const& k, M const& mask, Body const& body) {
  constexpr int width = decltype(S{}.value())::width;
  int const n = static_cast<int>(q.extent(2)), m = static_cast<int>(k.extent(2));
  Index const blocks = (q.extent(0) + width - 1) / width, key_heads = k.extent(1), queries = q.extent(1);
  // A task is one key head of a block: gradients of keys sum over the query heads that share it.
  for_blocks(exec, name, blocks * key_heads, [=](Index task) {
    Index const first = task / key_heads * width, key_head = task % key_heads;
    int const lanes = static_cast<int>(std::min<Index>(width, q.extent(0) - first));
    Index const group = queries / key_heads;
    if (treats_alike(mask, int(first), lanes, n, m)) {
      body(first, lanes, key_head * group, (key_head + 1) * group, key_head, task * width);
    } else {
      for (int lane = 0; lane < lanes; ++lane) {
        body(first + lane, 1, key_head * group, (key_head + 1) * group, key_head, task * width + lane);
      }
    }
  });
}

/// The scores and weights of query i. Returns the statistics of its row.
template <class S, class A>
StatsOf<A, S> jet_weights(A const& a, JetScratch<S>& s, KeyRange keys, Row row, Index i, Index width, RealOf<S> scale) {
  using P = decltype(S{}.value());
  S const* const q = s.q[i];
  s.scores.resize(std::size_t(std::max(0, keys.end - keys.begin)));
  s.weights.resize(s.scores.size());
  // Some keys at once: an addition need not wait for the one before.
  in_groups<S::size <= 2 ? 4 : 2>(static_cast<int>(s.scores.size()), [&](int r, auto rows) {
    S const* const k = s.k[keys.begin + r];
    S sum[rows];
    for (S& x : sum) x = S(0);
    for (Index d = 0; d < width; ++d) {
      for (int i = 0; i < rows; ++i) sum[i] += q[d] * k[i * width + d];
    }
    for (int i = 0; i < rows; ++i) s.scores[static_cast<std::size_t>(r + i)] = sum[i] * P(scale);
  });
  if constexpr (RowActivation<A, S>) {
    auto const known = for_row(a, row);
    StatsOf<A, S> stats;
    for (S const& score : s.scores) known.absorb(stats, score);
    for (std::size_t r = 0; r < s.scores.size(); ++r) {
      s.weights[r] = known.numerator(s.scores[r], stats) / known.normalizer(stats);
    }
    return stats;
  } else {
    for (std::size_t r = 0; r < s.scores.size(); ++r) s.weights[r] = a(s.scores[r], row);
    return {};
  }
}

template <class S>
JetScratch<S>& jet_scratch() {
  thread_local JetScratch<S> scratch;
  return scratch;
}

/// See `attention`.
template <HostExecutionSpace Exec, class A, class Q, class K, class V, class O, class Options>
void jets_forward(std::string const& name, Exec const& exec, A const& a, Q const& q, K const& k, V const& v,
                  O const& out, Options const& options) {
  using S = typename JetOfPacks<typename O::Scalar>::type;
  static_assert(std::same_as<decltype(options.norms), NoNorms>,
                "attention: ask for norms of real tensors only, not of jets");
  auto const scale = reference::detail::score_scale<S>(options, q.extent(3));
  int const n = static_cast<int>(q.extent(2)), m = static_cast<int>(k.extent(2));
  auto const mask = options.mask;
  for_jet_groups<S>(exec, name.c_str(), q, k, mask,
                    [=](Index first, int lanes, Index head_begin, Index head_end, Index key_head, Index) {
                      JetScratch<S>& s = jet_scratch<S>();
                      s.k.load(k, first, lanes, key_head);
                      s.v.load(v, first, lanes, key_head);
                      for (Index h = head_begin; h < head_end; ++h) {
                        s.q.load(q, first, lanes, h);
                        s.out.resize(n, v.extent(3));
                        s.out.fill_zero();
                        Row const row{mask.length(static_cast<int>(first), m), static_cast<int>(h)};
                        for (int i = 0; i < n; ++i) {
                          KeyRange const keys = mask.keys({static_cast<int>(first), i, n, m});
                          jet_weights(a, s, keys, row, i, q.extent(3), scale);
                          S* const o = s.out[i];
                          for (std::size_t r = 0; r < s.weights.size(); ++r) {
                            S const w = s.weights[r];
                            S const* const value = s.v[keys.begin + static_cast<Index>(r)];
                            for (Index e = 0; e < v.extent(3); ++e) o[e] += w * value[e];
                          }
                        }
                        s.out.store(out, first, lanes, h);
                      }
                    });
}

}  // namespace attn::detail::host
