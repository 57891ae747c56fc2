/// Trained numbers of activations, scales first of all, as metrics: what a run shows of them.
#pragma once

#include "attn/nn/attributes.hpp"
#include "attn/train/metrics.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace attn::train {

/// Which parameters belong to activations.
inline constexpr std::string_view activation_parameters = "*.activation.*";

/// Columns for `trained_numbers`: the names of the parameters, of several heads with their number.
template <class Ctx>
std::vector<std::string> trained_number_names(Ctx const& ctx) {
  std::vector<std::string> names;
  for (auto const& entry : ctx.parameters.entries()) {
    if (!nn::matches(activation_parameters, entry.name)) continue;
    for (Index head = 0; head < entry.size; ++head) {
      names.push_back(entry.name + (entry.size > 1 ? "." + std::to_string(head) : ""));
    }
  }
  return names;
}

/// Their values now, under these names. Waits for the device.
template <class Ctx>
Metrics trained_numbers(Ctx const& ctx) {
  Metrics metrics;
  std::vector<std::string> const names = trained_number_names(ctx);
  for (auto const& entry : ctx.parameters.entries()) {
    if (!nn::matches(activation_parameters, entry.name)) continue;
    for (auto const number : ctx.parameters.host_values(entry)) {
      metrics.push_back({names[metrics.size()], double(number)});
    }
  }
  return metrics;
}

/// Those of the columns of a table that are trained numbers.
inline std::vector<std::string> trained_number_columns(std::vector<std::string> const& columns) {
  std::vector<std::string> names;
  for (std::string const& column : columns) {
    if (nn::matches(activation_parameters, column)) names.push_back(column);
  }
  return names;
}

/// What a curve of such a column is called: "blocks.0.attn, scale".
inline std::string trained_number_label(std::string const& name) {
  std::string_view constexpr mark = ".activation.";
  std::size_t const begin = name.find(mark);
  return name.substr(0, begin) + ", " + name.substr(begin + mark.size());
}

}  // namespace attn::train
