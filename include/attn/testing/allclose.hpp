/// allclose: are two arrays equal up to a tolerance? If not, where not?
#pragma once

#include "attn/core/host_copy.hpp"

#include <algorithm>
#include <cmath>
#include <ranges>
#include <sstream>
#include <string>
#include <vector>

namespace attn::testing {

/// The outcome of a check, and a sentence about it: `if (auto const v = allclose(a, b, 1e-6); !v) print(v.message());`
class Verdict {
 public:
  Verdict() = default;
  explicit Verdict(std::string fault) : fault_(std::move(fault)) {}

  explicit operator bool() const { return fault_.empty(); }
  std::string message() const { return fault_.empty() ? "sound" : fault_; }

  /// Joins the faults of both.
  Verdict& operator&=(Verdict const& other) {
    if (!other) fault_ += (fault_.empty() ? "" : "\n") + other.fault_;
    return *this;
  }
  /// The same outcome, its sentence beginning with `what`.
  Verdict about(std::string const& what) const { return *this ? *this : Verdict(what + ": " + fault_); }

 private:
  std::string fault_;
};

namespace detail {

/// The elements in the order of a contiguous tensor, on the host. Waits for all work.
template <class T, int Rank, class Memory>
std::vector<double> host_numbers(Tensor<T, Rank, Memory> const& x) {
  Index reach = x.size() > 0 ? 1 : 0;
  for (int r = 0; r < Rank && reach > 0; ++r) reach += (x.extent(r) - 1) * x.stride(r);
  auto const memory = host_copy<Memory>(x.data(), reach);
  std::vector<double> numbers;
  numbers.reserve(static_cast<std::size_t>(x.size()));
  for (Index i = 0; i < x.size(); ++i) {
    Index rest = i, offset = 0;
    for (int r = Rank - 1; r >= 0; --r) {
      offset += rest % x.extent(r) * x.stride(r);
      rest /= x.extent(r);
    }
    numbers.push_back(static_cast<double>(memory[static_cast<std::size_t>(offset)]));
  }
  return numbers;
}

template <std::ranges::sized_range Range>
std::vector<double> host_numbers(Range const& range) {
  std::vector<double> numbers;
  numbers.reserve(std::ranges::size(range));
  for (auto const& x : range) numbers.push_back(static_cast<double>(x));
  return numbers;
}

}  // namespace detail

/// Whether each |got - want| is at most `tolerance` times the largest |want|, or times `scale` where that is larger.
/// Tensors, or ranges of numbers, of the same size. A NaN is equal to nothing. The message names the number of wrong
/// elements, and the first three.
template <class Got, class Want>
Verdict allclose(Got const& got, Want const& want, double tolerance, double scale = 0) {
  auto const g = detail::host_numbers(got), w = detail::host_numbers(want);
  std::ostringstream text;
  text.precision(9);
  if (g.size() != w.size()) {
    text << "got " << g.size() << " elements, want " << w.size();
    return Verdict(text.str());
  }
  double worst = 0;
  for (double const x : w) scale = std::max(scale, std::abs(x));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    double const error = std::abs(g[i] - w[i]);
    if (error <= tolerance * scale) continue;
    worst = std::max(worst, error);
    if (++wrong <= 3) text << (wrong > 1 ? ", " : "") << "[" << i << "] " << g[i] << " instead of " << w[i];
  }
  if (wrong == 0) return Verdict();
  std::ostringstream all;
  all << wrong << " of " << g.size() << " elements are off, by up to " << worst / (scale > 0 ? scale : 1)
      << " of the largest value (" << tolerance << " allowed): " << text.str();
  return Verdict(all.str());
}

/// Whether two tensors or ranges are equal to the last bit, NaN included.
template <class Got, class Want>
Verdict same_bits(Got const& got, Want const& want) {
  auto const g = detail::host_numbers(got), w = detail::host_numbers(want);
  std::ostringstream text;
  text.precision(17);
  if (g.size() != w.size()) {
    text << "got " << g.size() << " elements, want " << w.size();
    return Verdict(text.str());
  }
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (g[i] == w[i] || (g[i] != g[i] && w[i] != w[i])) continue;
    text << "element " << i << " is " << g[i] << ", and then " << w[i];
    return Verdict(text.str());
  }
  return Verdict();
}

}  // namespace attn::testing
