/// What check_activation found, and the scores that it tries.
#pragma once

#include "attn/core/random.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace attn::testing {

/// The faults of an activation; none if it is sound.
class ActivationReport {
 public:
  explicit operator bool() const { return faults_.empty(); }

  /// The faults, each with its kind: "slope", "jet", "pack", ...
  std::vector<std::pair<std::string, std::string>> const& faults() const { return faults_; }

  /// "sound", or a line for each fault.
  std::string message() const {
    if (faults_.empty()) return "sound";
    std::string text;
    for (auto const& [kind, sentence] : faults_) text += (text.empty() ? "" : "\n") + kind + ": " + sentence;
    return text;
  }

  /// Adds a fault, unless there is one of its kind.
  template <class... Parts>
  void add(std::string const& kind, Parts const&... parts) {
    if (std::any_of(faults_.begin(), faults_.end(), [&](auto const& f) { return f.first == kind; })) return;
    std::ostringstream sentence;
    sentence.precision(9);
    (sentence << ... << parts);
    faults_.emplace_back(kind, sentence.str());
  }

 private:
  std::vector<std::pair<std::string, std::string>> faults_;
};

struct CheckActivationOptions {
  double largest_score = 50;  ///< weights and slopes must be finite for |score| up to this, in fp32 too
};

namespace detail {

/// Zero, small and large scores of both signs, and ordinary ones; all are fp32 numbers.
inline std::vector<double> trial_scores(double largest) {
  std::vector<double> scores = {0, 1, -1, 0.5, -0.5, 2, -2, 1e-3, -1e-3, largest, -largest};
  for (int i = 0; i < 32; ++i) scores.push_back(2 * normal<double>({.seed = 1, .stream = 2}, std::uint64_t(i)));
  for (double& s : scores) s = static_cast<double>(static_cast<float>(s));
  return scores;
}

/// A step for differences in double: the error of the quotient is near its square and near the rounding unit over it.
inline double difference_step(double at) { return 1e-5 * std::max(1.0, std::abs(at)); }

/// A derivative by differences to both sides. At a corner they differ, and whatever lies between them is a derivative.
struct Differences {
  double before;
  double after;

  template <class Function>
  Differences(Function const& f, double at) {
    double const h = difference_step(at), here = f(at);
    before = (here - f(at - h)) / h;
    after = (f(at + h) - here) / h;
  }
  /// `scale`: what a typical derivative of the function is.
  bool admit(double slope, double scale) const {
    double const tolerance = 1e-5 * (std::abs(before) + std::abs(after) + scale);
    return std::min(before, after) - tolerance <= slope && slope <= std::max(before, after) + tolerance;
  }
  double middle() const { return (before + after) / 2; }
};

inline bool close(double x, double y, double tolerance) { return std::abs(x - y) <= tolerance || (x == y); }

}  // namespace detail
}  // namespace attn::testing
