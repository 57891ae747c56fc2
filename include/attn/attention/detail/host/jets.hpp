/// Attention of jets on the host: many short sequences at once, one in each lane of a vector.
///
/// Sequences that carry derivatives are short (the pseudo-sequences of PDE solvers have five tokens), and many. A block
/// is W sequences of one head; its tokens are copied into arrays whose scalar is a jet of packs, on which the textbook
/// runs. No N x M matrix is stored. A mask that treats the sequences of a block differently leaves one lane at work.
#pragma once

#include "attn/activation/slope.hpp"
#include "attn/attention/detail/host/tile.hpp"
#include "attn/attention/reference.hpp"
#include "attn/core/jet_tensor.hpp"

#include <algorithm>
#include <vector>

namespace attn::detail {

template <class J>
struct JetOfPacks;
template <class R, int... Orders>
struct JetOfPacks<Jet<R, Orders...>> {
  using type = Jet<Pack<R>, Orders...>;
};

/// The tokens (tokens, width) of one head of `lanes` sequences.
template <class S>
class JetTokens {
  using P = decltype(S{}.value());
  using R = RealOf<S>;

 public:
  static constexpr int size = S::size;

  /// Room for (tokens, width) jets, kept by the thread between calls.
  void resize(Index tokens, Index width) {
    width_ = width;
    jets_.resize(std::size_t(tokens * width));
  }
  void fill_zero() { std::fill(jets_.begin(), jets_.end(), S(0)); }
  S* operator[](Index token) { return jets_.data() + token * width_; }

  template <class X>
  void load(X const& x, Index first, int lanes, Index head) {
    resize(x.extent(2), x.extent(3));
    for (int c = 0; c < size; ++c) {
      auto const* const plane = (x.data() + (first * x.stride(0) + head * x.stride(1))).plane(c);
      for (Index token = 0; token < x.extent(2); ++token) {
        S* const to = (*this)[token];
        if (plane == nullptr) {
          for (Index d = 0; d < width_; ++d) to[d].coefficients[c] = P(R(0));
        } else if (x.step() == 1) {
          host::rows_to_lanes<P>(plane + token * x.stride(2), x.stride(0), lanes, int(width_), R(1), numbers(to, c),
                                 from_jet_to_jet, host::next_group(x, head, P::width));
        } else {
          for (int lane = 0; lane < lanes; ++lane) {
            auto const* const from = plane + (lane * x.stride(0) + token * x.stride(2)) * x.step();
            for (Index d = 0; d < width_; ++d) to[d].coefficients[c].lanes[lane] = from[d * x.step()];
          }
        }
      }
    }
  }

  template <class X>
  void store(X const& x, Index first, int lanes, Index head) {
    for (int c = 0; c < size; ++c) {
      auto* const plane = (x.data() + (first * x.stride(0) + head * x.stride(1))).plane(c);
      if (plane == nullptr) continue;
      for (Index token = 0; token < x.extent(2); ++token) {
        S* const from = (*this)[token];
        if (x.step() == 1) {
          host::lanes_to_rows<false>(numbers(from, c), from_jet_to_jet, P(R(1)), plane + token * x.stride(2),
                                     x.stride(0), lanes, int(width_));
        } else {
          for (int lane = 0; lane < lanes; ++lane) {
            auto* const to = plane + (lane * x.stride(0) + token * x.stride(2)) * x.step();
            for (Index d = 0; d < width_; ++d) to[d * x.step()] = from[d].coefficients[c].lanes[lane];
          }
        }
      }
    }
  }

 private:
  static constexpr Index from_jet_to_jet = Index(sizeof(S) / sizeof(R));
  /// Coefficient c of jets as numbers in lanes.
  static R* numbers(S* jets, int c) { return reinterpret_cast<R*>(&jets->coefficients[c]); }

  std::vector<S> jets_;
  Index width_ = 0;
};

/// What one thread works in.
template <class S>
struct JetScratch {
  JetTokens<S> q, k, v, out, d_out, d_q, d_k, d_v;
  std::vector<S> scores, weights, d_weights;
};

/// Groups of sequences that a mask treats alike: W at a time, or one.
template <class M>
bool is_uniform(M const& mask, Index first, int lanes, int n, int m) {
  auto const range = [&](int lane, int i) { return mask.keys({static_cast<int>(first) + lane, i, n, m}); };
  for (int lane = 1; lane < lanes; ++lane) {
    if (mask.length(static_cast<int>(first) + lane, m) != mask.length(static_cast<int>(first), m)) return false;
    for (int i = 0; i < n; ++i) {
      KeyRange const a = range(0, i), b = range(lane, i);
      if (a.begin != b.begin || a.end != b.end) return false;
    }
  }
  return true;
}

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
    if (is_uniform(mask, first, lanes, n, m)) {
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
  host::in_groups<S::size <= 2 ? 4 : 2>(static_cast<int>(s.scores.size()), [&](int r, auto rows) {
    S const* const k = s.k[keys.begin + r];
    S sum[rows];
    for (S& x : sum) x = S(0);
    for (Index d = 0; d < width; ++d) {
      for (int i = 0; i < rows; ++i) sum[i] += q[d] * k[i * width + d];
    }
    for (int i = 0; i < rows; ++i) s.scores[static_cast<std::size_t>(r + i)] = sum[i] * P(scale);
  });
  if constexpr (RowActivation<A, S>) {
    StatsOf<A, S> stats;
    for (S const& score : s.scores) a.absorb(stats, score);
    for (std::size_t r = 0; r < s.scores.size(); ++r) {
      s.weights[r] = a.numerator(s.scores[r], stats) / a.normalizer(stats);
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

/// See `attention`. Chosen before the other kernels by its constraint.
template <HostExecutionSpace Exec, class A, class Q, class K, class V, class O, class Saved, class Options>
requires(has_packs&& AnyJet<typename O::Scalar>) void attention_forward(Exec const& exec, A const& a, Q const& q,
                                                                        K const& k, V const& v, O const& out,
                                                                        Saved const&, Options const& options) {
  using S = typename JetOfPacks<typename O::Scalar>::type;
  static_assert(std::same_as<decltype(options.norms), NoNorms>,
                "attention: ask for norms of real tensors only, not of jets");
  auto const scale = reference::detail::score_scale<S>(options, q.extent(3));
  int const n = static_cast<int>(q.extent(2)), m = static_cast<int>(k.extent(2));
  auto const mask = options.mask;
  for_jet_groups<S>(exec, "attn::attention (jets)", q, k, mask,
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

/// See `attention_backward`. The formulas are those of attention/reference.hpp.
template <HostExecutionSpace Exec, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ,
          class DK, class DV, class Options>
requires(has_packs&& AnyJet<typename O::Scalar>) void attention_gradients(Exec const& exec, A const& a, Q const& q,
                                                                          K const& k, V const& v, O const&,
                                                                          Saved const&, DO const& d_out, DQ const& d_q,
                                                                          DK const& d_k, DV const& d_v,
                                                                          Options const& options) {
  using J = typename DQ::Scalar;
  using S = typename JetOfPacks<J>::type;
  using P = decltype(S{}.value());
  using R = RealOf<J>;
  auto const scale = reference::detail::score_scale<S>(options, q.extent(3));
  int const n = static_cast<int>(q.extent(2)), m = static_cast<int>(k.extent(2));
  Index const width = q.extent(3), value_width = v.extent(3), heads = q.extent(1);
  auto const mask = options.mask;
  constexpr bool learnable = LearnableActivation<A, S>;
  // Gradients of the activation's numbers: one part for each sequence and head, added up in order.
  constexpr Index n_parameters = [] {
    if constexpr (learnable) return Index(A::n_parameters);
    return Index(0);
  }();
  static thread_local std::vector<R> parts_of_caller;
  Index const tasks = (q.extent(0) + P::width - 1) / P::width * k.extent(1);
  if constexpr (learnable) parts_of_caller.assign(std::size_t(tasks * P::width * heads * n_parameters), R(0));
  R* const parts = parts_of_caller.data();

  for_jet_groups<S>(exec, "attn::attention_backward (jets)", q, k, mask,
                    [=](Index first, int lanes, Index head_begin, Index head_end, Index key_head, Index part) {
                      JetScratch<S>& s = jet_scratch<S>();
                      s.k.load(k, first, lanes, key_head);
                      s.v.load(v, first, lanes, key_head);
                      s.d_k.resize(m, width);
                      s.d_v.resize(m, value_width);
                      s.d_k.fill_zero();
                      s.d_v.fill_zero();
                      for (Index h = head_begin; h < head_end; ++h) {
                        s.q.load(q, first, lanes, h);
                        s.d_out.load(d_out, first, lanes, h);
                        s.d_q.resize(n, width);
                        s.d_q.fill_zero();
                        Row const row{mask.length(static_cast<int>(first), m), static_cast<int>(h)};
                        for (int i = 0; i < n; ++i) {
                          KeyRange const keys = mask.keys({static_cast<int>(first), i, n, m});
                          [[maybe_unused]] auto const stats = jet_weights(a, s, keys, row, i, width, scale);
                          s.d_weights.resize(s.weights.size());
                          S const* const d_o = s.d_out[i];
                          S delta(0);
                          for (std::size_t r = 0; r < s.weights.size(); ++r) {
                            Index const j = keys.begin + static_cast<Index>(r);
                            S const* const value = s.v[j];
                            S* const d_value = s.d_v[j];
                            S const w = s.weights[r];
                            S d_w(0);
                            for (Index e = 0; e < value_width; ++e) {
                              // forward: out_i += w_ij v_j; hence d_w_ij += d_out_i.v_j and d_v_j += w_ij d_out_i
                              d_w += d_o[e] * value[e];
                              d_value[e] += w * d_o[e];
                            }
                            delta += w * d_w;
                            s.d_weights[r] = d_w;
                          }
                          for (std::size_t r = 0; r < s.weights.size(); ++r) {
                            Index const j = keys.begin + static_cast<Index>(r);
                            S d_s;
                            if constexpr (RowActivation<A, S>) {
                              d_s = pull_back(a, s.scores[r], s.weights[r], s.d_weights[r], delta, stats);
                            } else {
                              d_s = weight_and_slope(a, s.scores[r], row).slope * s.d_weights[r];
                            }
                            if constexpr (learnable) {
                              auto const slopes = a.parameter_slopes(s.scores[r], row);
                              for (Index p = 0; p < n_parameters; ++p) {
                                S const gradient = slopes[static_cast<std::size_t>(p)] * s.d_weights[r];
                                for (int lane = 0; lane < lanes; ++lane) {  // idle lanes may hold anything
                                  parts[((part + lane) * heads + h) * n_parameters + p] +=
                                      gradient.coefficients[S::size - 1].lanes[lane];
                                }
                              }
                            }
                            // forward: s_ij = scale q_i.k_j; hence d_q_i += scale d_s_ij k_j and d_k_j += scale d_s_ij
                            // q_i
                            d_s = d_s * P(scale);
                            S const* const key = s.k[j];
                            S const* const query = s.q[i];
                            S* const d_query = s.d_q[i];
                            S* const d_key = s.d_k[j];
                            for (Index d = 0; d < width; ++d) {
                              d_query[d] += d_s * key[d];
                              d_key[d] += d_s * query[d];
                            }
                          }
                        }
                        s.d_q.store(d_q, first, lanes, h);
                      }
                      s.d_k.store(d_k, first, lanes, key_head);
                      s.d_v.store(d_v, first, lanes, key_head);
                    });
  if constexpr (learnable) {
    auto const parameters = a.parameters();
    if (parameters.gradient == nullptr) return;
    exec.fence("attn::attention_backward (jets)");
    for (Index part = 0; part < tasks * P::width; ++part) {
      for (Index h = 0; h < heads; ++h) {
        for (Index p = 0; p < n_parameters; ++p) {
          parameters.gradient[(parameters.per_head ? h * n_parameters : 0) + p] +=
              parts[(part * heads + h) * n_parameters + p];
        }
      }
    }
  }
}

}  // namespace attn::detail
