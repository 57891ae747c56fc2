// The scripts in bench/peers, run as child processes that take turns with this program.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "child.hpp"

namespace bench {

/// The median of numbers, of which there is at least one, and the quartiles on either side.
struct Spread {
  double low, median, high;
};
inline Spread spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  auto const at = [&](double share) {
    double const place = share * static_cast<double>(values.size() - 1);
    auto const below = static_cast<std::size_t>(place);
    auto const above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {at(0.25), at(0.5), at(0.75)};
}

/// `call` by the clock, in seconds.
template <class Call>
auto by_clock(Call const& call) {
  return [&call] {
    auto const start = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
}

/// The median of what `timed` returns, called for `seconds` and at least once, after a tenth of them to warm up (and at
/// least a call): the threads of whoever had the turn before may still be spinning.
template <class Timed>
double turn(Timed const& timed, double seconds) {
  using Clock = std::chrono::steady_clock;
  auto const collect = [&](double duration) {
    std::vector<double> all;
    auto const begin = Clock::now();
    do all.push_back(timed());
    while (std::chrono::duration<double>(Clock::now() - begin).count() < duration);
    return spread(all).median;
  };
  collect(0.1 * seconds);
  return collect(seconds);
}

/// A script of bench/peers, beside whose variants of a case (eager, compiled, fused, ...) ours is timed.
///
/// Ours and each variant take turns, so that a machine whose speed drifts is as fast or slow for all of them; a round
/// gives one ratio to each variant, and the fastest variant, by the median of its ratios, is the peer. A peer that
/// cannot be run, or ends half-way, is one sentence and no error: our own figures stand.
class Peers {
 public:
  /// Takes its flags out of the arguments: --peer=PYTHON, the interpreter in whose environment the packages of
  /// bench/peers/requirements.txt are (no peer without it), --rounds=7, --turn=0.3, seconds, --compared=FILE for what
  /// was compared as JSON, and --scripts=DIR where this program was carried away from bench/peers.
  Peers(int& argc, char** argv, std::string script) : script_(std::move(script)) {
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
      if (!take(argv[i])) argv[kept++] = argv[i];
    }
    argc = kept;
  }

  /// With `flags` of the script. Starts it at the first case.
  void use(std::vector<std::string> flags) { flags_ = std::move(flags); }

  /// `timed` makes a call of ours and returns its seconds. Does nothing for a case that was compared, that the script
  /// does not know, or without a peer.
  template <class Timed>
  void compare(std::string const& name, Timed const& timed) {
    if (python_.empty() || !fault_.empty() || !compared_.insert(name).second) return;
    auto const prepared = ask({{"prepare", name}});
    if (!prepared.contains("variants") || prepared["variants"].empty()) return;
    if (said_.empty()) {
      said_ = "the peer is PyTorch " + prepared.value("torch", "?") + " with " +
              std::to_string(prepared.value("threads", 0)) + " threads on the processors " +
              prepared["processors"].dump() + "; " + std::to_string(rounds_) + " rounds\n";
    }
    struct Variant {
      std::string name;
      std::vector<double> seconds, ratios;
    };
    std::vector<Variant> variants;
    for (std::string const variant : prepared["variants"]) variants.push_back({variant, {}, {}});
    std::vector<double> ours;
    for (int round = 0; round < rounds_; ++round) {
      ours.push_back(turn(timed, turn_));
      for (Variant& v : variants) {
        auto const answer = ask({{"turn", v.name}, {"seconds", turn_}});
        if (!answer.contains("median")) return;
        v.seconds.push_back(answer["median"]);
        v.ratios.push_back(v.seconds.back() / ours.back());
      }
    }
    std::sort(variants.begin(), variants.end(),
              [](Variant const& a, Variant const& b) { return spread(a.ratios).median < spread(b.ratios).median; });
    Spread const ratio = spread(variants.front().ratios);
    char text[256];
    std::snprintf(text, sizeof text, "%-56s %10.3f ms: %.2f (%.2f to %.2f) times as fast as PyTorch", name.c_str(),
                  spread(ours).median * 1e3, ratio.median, ratio.low, ratio.high);
    said_ += text;
    for (Variant const& v : variants) {
      std::snprintf(text, sizeof text, ", %s %.3f ms", v.name.c_str(), spread(v.seconds).median * 1e3);
      said_ += text;
    }
    said_ += "\n";
    if (file_.empty()) return;
    nlohmann::json of_variants;
    for (Variant const& v : variants) of_variants[v.name] = spread(v.seconds).median;
    written_.push_back({{"name", name},
                        {"seconds", spread(ours).median},
                        {"ratio", {ratio.low, ratio.median, ratio.high}},
                        {"variants", of_variants},
                        {"torch", prepared.value("torch", "?")}});
    std::ofstream(file_) << written_.dump(1) << "\n";
  }

  /// What was compared, and what went wrong.
  void print() const {
    std::printf("%s", said_.c_str());
    if (!fault_.empty()) std::printf("no peer from %s: %s\n", script_.c_str(), fault_.c_str());
    std::fflush(stdout);
  }

  std::string const& python() const { return python_; }

 private:
  static constexpr double most_seconds = 900;  // to compile a model, or to take a turn

  bool take(std::string_view argument) {
    auto const value = [&](std::string_view flag) { return std::string(argument.substr(flag.size())); };
    if (argument.starts_with("--peer=")) {
      python_ = value("--peer=");
    } else if (argument.starts_with("--rounds=")) {
      rounds_ = std::max(1, std::atoi(value("--rounds=").c_str()));
    } else if (argument.starts_with("--turn=")) {
      turn_ = std::max(0.0, std::atof(value("--turn=").c_str()));
    } else if (argument.starts_with("--compared=")) {
      file_ = value("--compared=");
    } else if (argument.starts_with("--scripts=")) {
      scripts_ = value("--scripts=");
    } else {
      return false;
    }
    return true;
  }

  /// The script's answer, which is empty where there is none.
  nlohmann::json ask(nlohmann::json const& question) {
    if (!child_) {
      auto const path = scripts_ / script_;
      std::vector<std::string> arguments = {python_, path.string(), "--serve"};
      arguments.insert(arguments.end(), flags_.begin(), flags_.end());
      child_ = std::make_unique<Child>(arguments);
    }
    child_->write(question.dump());
    auto const line = child_->read(most_seconds);
    auto const answer = line ? nlohmann::json::parse(*line, nullptr, false) : nlohmann::json();
    if (answer.is_object()) return answer;
    fault_ = !child_->fault().empty() ? child_->fault() : line ? "it printed '" + *line + "'" : "it ended";
    return {};
  }

  std::string script_, python_, file_;
  std::filesystem::path scripts_ = std::filesystem::path(__FILE__).parent_path() / "peers";
  nlohmann::json written_;
  std::vector<std::string> flags_;
  int rounds_ = 7;
  double turn_ = 0.3;
  std::set<std::string> compared_;
  std::unique_ptr<Child> child_;
  std::string said_, fault_;
};

}  // namespace bench
