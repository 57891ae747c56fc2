/// Norms and statistics of attention with any activation of the registry, by the fused kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "theory/lab.hpp"

namespace theory {

/// Which activation: "softmax", "poly" with its power and factor, or a name of the registry.
struct Choice {
  std::string name = "softmax";
  int power = 3;
  double factor = 0;  // c of poly; 0: 1/sqrt(N)

  /// "softmax", "x³", "x³/√N", "0.5 x³", ...
  std::string label() const;
};

/// Names that `Choice` takes beside those that all trainers share.
std::vector<std::string> registered_names();

/// What --activation, --power and --scale say. A trained scale counts as what it starts from.
Choice choice_of(std::string const& activation, int power, std::string const& scale);

/// Everything about the attention matrices (heads, tokens, tokens) of one call; six numbers a row.
struct Measured {
  std::vector<double> frobenius, jacobian;                                 // (heads)
  std::vector<double> sum, minimum, maximum, positive, negative, entropy;  // (heads, tokens)
};

/// Numbers (heads, tokens, width) on the host.
struct Heads {
  int heads = 1, tokens = 0, width = 0;
  std::vector<float> values = {};
};

/// Of scores score_scale q_i.k_j; 0 means 1/sqrt(width).
Measured measure(Choice const& choice, Heads const& q, Heads const& k, double score_scale = 0);

/// The Frobenius norm of dA/dQ for the scores s_ij = x_i Q k_j / sqrt(d), k_j = K^T x_j: all derivatives of all weights
/// of one head by all entries of the parameter matrix Q. `x_norms` are |x_i|. In double; O(N^2 d).
double parameter_gradient(Choice const& choice, std::vector<double> const& x_norms, Heads const& q, Heads const& k);

/// Norms in each layer of a freshly initialised pre-norm transformer on random tokens, mean over heads and samples.
struct LayerNorms {
  double frobenius = 0, jacobian = 0, score_deviation = 0;
};
struct Sizes {
  int depth = 12, tokens = 256, heads = 3, head_width = 64, samples = 4;
};
std::vector<LayerNorms> norms_at_initialisation(Choice const& choice, Sizes const& sizes, std::uint64_t seed);

}  // namespace theory
