/// The backward pass of attention of jets on the host: the groups of host/jets.hpp, one after the other for each key
/// head, so that gradients of keys are sums in a fixed order.
#pragma once

#include "attn/attention/detail/host/jets.hpp"

namespace attn::detail::host {

/// See `attention_backward`. The formulas are those of attention/reference.hpp.
template <HostExecutionSpace Exec, class A, class Q, class K, class V, class DO, class DQ, class DK, class DV,
          class Options>
void jets_backward(std::string const& name, Exec const& exec, A const& a, Q const& q, K const& k, V const& v,
                   DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v, Options const& options) {
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

  for_jet_groups<S>(exec, name.c_str(), q, k, mask,
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
                              d_s = pull_back(for_row(a, row), s.scores[r], s.weights[r], s.d_weights[r], delta, stats);
                            } else {
                              d_s = weight_and_slope(a, s.scores[r], row).slope * s.d_weights[r];
                            }
                            if constexpr (learnable) {
                              auto const shares = [&] {
                                if constexpr (RowActivation<A, S>) {
                                  return for_row(a, row).parameter_pullbacks(s.scores[r], s.weights[r], s.d_weights[r],
                                                                             delta, stats);
                                } else {
                                  auto slopes = a.parameter_slopes(s.scores[r], row);
                                  for (int p = 0; p < A::n_parameters; ++p) slopes[p] = slopes[p] * s.d_weights[r];
                                  return slopes;
                                }
                              }();
                              for (Index p = 0; p < n_parameters; ++p) {
                                S const gradient = shares[static_cast<std::size_t>(p)];
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
    exec.fence(name);
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

}  // namespace attn::detail::host
