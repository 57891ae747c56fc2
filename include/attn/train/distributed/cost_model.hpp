/// What does it cost to share a step? A model of bytes, bandwidth and overlap, for plans; docs/cluster.md has its
/// tables.
#pragma once

#include "attn/core/check.hpp"

#include <algorithm>
#include <cmath>

namespace attn::train {

/// What a rank computes in a step.
struct StepWork {
  double parameters = 0;          ///< numbers, of 4 bytes in gradients
  double seconds = 0;             ///< forward and backward pass and optimizer of a step, alone
  double backward = 2.0 / 3;      ///< share of the backward pass, in which sums are hidden
  double bucket = 16e6;           ///< bytes that are added at once
  bool shards_optimizer = false;  ///< parameters are gathered after the step, which nothing hides
};

/// What connects the ranks.
struct Network {
  int ranks = 1;
  double bandwidth = 0;    ///< bytes a second that a rank sends while it receives as many
  double latency = 10e-6;  ///< seconds of a message; a sum of a bucket takes 2 log2(ranks) of them one after the other
};

/// What sharing adds to a step.
struct SharingCost {
  double bytes = 0;       ///< that a rank sends, and receives
  double summing = 0;     ///< seconds of all sums
  double visible = 0;     ///< seconds by which a step is longer
  double efficiency = 1;  ///< seconds of the work over those of the step
};

/// With R ranks and n parameters, a sum moves 2 (R - 1) / R of 4 n bytes out of a rank, and as many into it. Buckets
/// are final one after the other all through the backward pass; what is not hidden are the last bucket, and the seconds
/// by which sums take longer than the backward pass.
///
///     bytes = 2 (R - 1) / R 4 n,  summing = bytes / bandwidth + buckets 2 log2(R) latency
///     visible = max(summing - backward (1 - 1 / buckets), summing / buckets) + gathering
inline SharingCost cost_of_sharing(StepWork const& work, Network const& network) {
  ATTN_CHECK(
      network.ranks > 0 && network.bandwidth > 0 && work.seconds > 0 && work.parameters > 0 && work.bucket > 0,
      "cost_of_sharing: give positive numbers of ranks, bytes a second, parameters, seconds and bytes of a bucket");
  if (network.ranks == 1) return {};
  double const share = (network.ranks - 1.0) / network.ranks, gradients = 4 * work.parameters;
  double const buckets = std::ceil(gradients / work.bucket);
  double const of_message = 2 * std::ceil(std::log2(network.ranks)) * network.latency;
  SharingCost cost{.bytes = 2 * share * gradients};
  cost.summing = cost.bytes / network.bandwidth + buckets * of_message;
  double const hidden = work.seconds * work.backward * (1 - 1 / buckets);
  cost.visible = std::max(cost.summing - hidden, cost.summing / buckets);
  if (work.shards_optimizer) {
    cost.bytes += share * gradients;
    cost.visible += share * gradients / network.bandwidth + of_message / 2;
  }
  cost.efficiency = work.seconds / (work.seconds + cost.visible);
  return cost;
}

/// The least number of samples of a rank with which a step has an efficiency of at least `wanted`, where a sample takes
/// `seconds`; `work.seconds` is not looked at.
inline double least_batch(StepWork work, double seconds, Network const& network, double wanted = 0.9) {
  for (double batch = 1; batch <= 1 << 20; ++batch) {
    work.seconds = batch * seconds;
    if (cost_of_sharing(work, network).efficiency >= wanted) return batch;
  }
  return INFINITY;
}

}  // namespace attn::train
