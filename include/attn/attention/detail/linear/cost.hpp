/// When the path that is linear in the number of tokens is the faster one: a model of both.
#pragma once

#include "attn/attention/detail/choose.hpp"
#include "attn/attention/detail/linear/plan.hpp"

namespace attn::detail::linear {

/// Times of one call, in multiply-adds of packs that the machine has for its width: both paths are products of matrices
/// through one register block. Constants are what else takes time, in such multiply-adds, as measured
/// (docs/performance.md: "Linear in the number of tokens").
struct Cost {
  double quadratic = 0;
  double linear = 0;
};

/// `pairs`: how many pairs of a query and a key the mask shows, summed over the sequences.
inline Cost cost_of(Pass pass, LinearPlan const& plan, double pairs) {
  host::Shape const& s = plan.shape;
  bool const forward = pass == Pass::forward;
  double const d = s.width, e = s.value_width, row = double(plan.row()), block = columns * plan.pack;
  auto const blocks_of = [&](double tokens) { return std::ceil(tokens / block) * block; };
  double const heads = double(s.heads), key_heads = double(s.key_heads), batch = double(s.batch);
  double const monomials = double(plan.rows()), queries = blocks_of(s.n_queries), keys = blocks_of(s.n_keys);

  // Two products of widths d and e forward, five backward, and the activation.
  double const of_pair = forward ? d + e + 4 : 3 * d + 2 * e + 12;
  // The monomials of a token, its products with sums, and its way into lanes and back.
  double const expand = 3, pull = 6, lanes = 3;
  double const key_sums = row + expand, query_result = e + expand;
  double linear = batch * monomials * (key_heads * keys * key_sums + heads * queries * query_result);
  double tokens = key_heads * keys + heads * queries;
  if (!forward) {
    linear = batch * monomials *
             (key_heads * keys * key_sums + heads * queries * (row + expand) + heads * queries * (e + expand + pull) +
              heads * keys * (2 * e + 2 * expand + pull));
    tokens = 3 * tokens;
  }
  linear += batch * tokens * (d + e) * lanes;
  // Sums are cleared, weighed, and under a causal mask weighed for each chunk.
  double const sums = forward ? 4 : 8, chunks = plan.same_keys ? 1 : plan.chunks();
  linear += batch * heads * monomials * row * sums * chunks;
  if (!plan.same_keys) {
    double const in_chunks = batch * double(s.n_queries) * plan.chunk / 2;
    linear += heads * std::min(in_chunks, pairs) * of_pair;
    if (plan.pieces() > 1)
      linear += batch * monomials * (key_heads * keys + (forward ? 0 : heads * queries)) * key_sums;
  }
  return {heads * pairs * of_pair, linear};
}

}  // namespace attn::detail::linear
