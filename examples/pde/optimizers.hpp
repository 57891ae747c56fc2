// Which optimizers train, one after the other.
#pragma once

#include "attn/io/json.hpp"

#include <optional>
#include <string>
#include <vector>

namespace train_pde {

/// A setting: "lbfgs", or several in a row, "adam:1000,gauss-newton": each with its steps but the last, which goes on
/// to the end of the run.
struct Optimizers {
  struct Stage {
    std::string name;
    int steps = 0;  // 0: to the end

    bool operator==(Stage const&) const = default;
  };
  std::vector<Stage> stages = {{"lbfgs"}};

  static constexpr char const* wanted =
      "lbfgs, broyden, gauss-newton, levenberg-marquardt or adam, or several in a row, each but the last with its "
      "steps, like adam:1000,gauss-newton";
  static constexpr char const* kind = "NAME[:STEPS],...";
  static std::optional<Optimizers> parse(std::string const& text);
  static std::optional<Optimizers> from_json(attn::io::Json const& json);
  std::string text() const;
  attn::io::Json json() const { return text(); }
  bool operator==(Optimizers const&) const = default;

  /// Which stage takes step number `step` = 0, 1, ...
  std::size_t stage_of(int step) const;
  /// The number of steps that a stage, which is not the last, and those before it have.
  int end_of(std::size_t stage) const;
  bool use(std::string const& name) const;
  bool only(std::string const& name) const { return stages.size() == 1 && stages[0].name == name; }
};

}  // namespace train_pde
