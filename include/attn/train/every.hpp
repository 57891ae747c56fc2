/// Every: how often something is done in a run: every so many steps, or every so many minutes.
#pragma once

#include "attn/io/json.hpp"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

namespace attn::train {

/// A setting: "500" steps, "10m", "90s" or "2h". Steps are counted from the beginning of the run, so that a resumed run
/// has the same rhythm; time is counted from the last time, so what is done by time is not repeatable.
struct Every {
  std::uint64_t steps = 0;
  double seconds = 0;

  static constexpr char const* wanted = "a number of steps like 500, or a time like 10m, 90s or 2h";
  static constexpr char const* kind = "STEPS|TIME";

  explicit operator bool() const { return steps > 0 || seconds > 0; }

  static std::optional<Every> parse(std::string const& text) {
    std::uint64_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    auto const rest = text.substr(static_cast<std::size_t>(end - text.data()));
    constexpr std::uint64_t most = 1'000'000'000;
    if (error != std::errc() || number == 0 || number > most) return std::nullopt;
    if (rest.empty()) return Every{.steps = number};
    double const unit = rest == "s" ? 1 : rest == "m" ? 60 : rest == "h" ? 3600 : 0;
    if (unit == 0) return std::nullopt;
    return Every{.seconds = unit * static_cast<double>(number)};
  }
  static std::optional<Every> from_json(io::Json const& json) {
    if (json.is_number_integer()) return parse(json.dump());
    return json.is_string() ? parse(json.get<std::string>()) : std::nullopt;
  }
  std::string text() const {
    if (steps > 0) return std::to_string(steps);
    if (seconds <= 0) return "";
    auto const whole = static_cast<std::uint64_t>(std::llround(seconds));
    if (whole % 3600 == 0) return std::to_string(whole / 3600) + "h";
    return whole % 60 == 0 ? std::to_string(whole / 60) + "m" : std::to_string(whole) + "s";
  }
  io::Json json() const {
    if (!*this) return nullptr;
    return steps > 0 ? io::Json(steps) : io::Json(text());
  }
};

/// An `Every` in a run. Ask it after each step.
class Rhythm {
 public:
  explicit Rhythm(Every every) : every_(every), last_(Clock::now()) {}

  /// Whether it is time, `step` steps being done.
  bool due(std::uint64_t step) {
    if (every_.steps > 0) return step % every_.steps == 0;
    if (every_.seconds <= 0 || std::chrono::duration<double>(Clock::now() - last_).count() < every_.seconds)
      return false;
    last_ = Clock::now();
    return true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Every every_;
  Clock::time_point last_;
};

}  // namespace attn::train
