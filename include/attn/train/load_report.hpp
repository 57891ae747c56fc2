/// LoadReport: how the tensors of a file and those of a model differ, and what was done about it.
#pragma once

#include "attn/core/check.hpp"

#include <string>
#include <vector>

namespace attn::train {

/// Names as in the file; the lists of sentences name them too.
struct LoadReport {
  std::vector<std::string> missing;     ///< the model needs them, the file lacks them
  std::vector<std::string> unexpected;  ///< the file has them, the model has no use for them
  std::vector<std::string> misshapen;   ///< "head.weight is (10, 192), not (5, 192)"
  std::vector<std::string> ignored;     ///< buffers of other programs, which nobody needs
  std::vector<std::string> adapted;     ///< "pos_embed was interpolated from 14 x 14 positions to 16 x 16"

  /// Whether each tensor of the model came from the file, adapted or not, and nothing was left over.
  bool fits() const { return missing.empty() && unexpected.empty() && misshapen.empty(); }

  /// What does not fit in one sentence, the first names of each kind and how many more there are; empty if all fits.
  std::string faults() const {
    std::string text;
    auto const add = [&](char const* what, std::vector<std::string> const& names) {
      if (!names.empty()) text += (text.empty() ? "" : "; ") + std::string(what) + list(names);
    };
    add("it lacks ", missing);
    add("it holds what has no place here: ", unexpected);
    add("", misshapen);
    return text;
  }

  /// What a user may want to know of a file that was read: a sentence each.
  std::vector<std::string> sentences() const {
    std::vector<std::string> all = adapted;
    if (!missing.empty()) all.push_back("the file lacks " + list(missing) + ", which stay as they were");
    if (!unexpected.empty()) all.push_back("the file's " + list(unexpected) + " have no place in the model");
    if (!ignored.empty()) all.push_back("the file's " + list(ignored) + " are not needed");
    return all;
  }

 private:
  /// A file of another model may lack hundreds: so many are named.
  static constexpr std::size_t most_names = 8;

  static std::string list(std::vector<std::string> const& names) {
    std::size_t const n = names.size() <= most_names + 1 ? names.size() : most_names;
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += (text.empty() ? "" : ", ") + names[i];
    if (n < names.size()) text += " and " + std::to_string(names.size() - n) + " more";
    return text;
  }
};

}  // namespace attn::train
