// The scripts in bench/peers, run as child processes, beside the times of this program.
#pragma once

#include <benchmark/benchmark.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "child.hpp"

namespace bench {

/// Prints as usual, and remembers the seconds of each benchmark.
class Recorder : public benchmark::ConsoleReporter {
 public:
  std::map<std::string, double> seconds;

  void ReportRuns(std::vector<Run> const& runs) override {
    for (Run const& run : runs) {
      if (run.run_type == Run::RT_Iteration && !run.error_occurred) {
        seconds[run.run_name.function_name] = run.real_accumulated_time / static_cast<double>(run.iterations);
      }
    }
    ConsoleReporter::ReportRuns(runs);
  }
};

/// Takes `--peer=PYTHON` out of the arguments: the interpreter in whose environment the packages of
/// bench/peers/requirements.txt are. Empty if it was not given.
inline std::string take_peer(int& argc, char** argv) {
  std::string python;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    std::string_view const argument = argv[i];
    if (argument.starts_with("--peer=")) {
      python = argument.substr(7);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return python;
}

/// What a script in bench/peers reports with such flags: an object for each line that measured something. A peer that
/// cannot be run is one sentence, and no error: our own figures stand.
inline std::vector<nlohmann::json> ask_peer(std::string const& python, std::string const& script,
                                            std::string const& flags) {
  constexpr double most_seconds = 1800;
  auto const path = std::filesystem::path(__FILE__).parent_path() / "peers" / script;
  std::vector<std::string> arguments = {python, path.string()};
  std::istringstream words(flags);
  for (std::string word; words >> word;) arguments.push_back(word);
  ChildResult const child = run_child(arguments, most_seconds);
  if (!child.fault.empty()) {
    std::printf("no peer from %s %s: %s\n", script.c_str(), flags.c_str(), child.fault.c_str());
  }
  std::vector<nlohmann::json> reports;
  std::istringstream lines(child.output);
  for (std::string text; std::getline(lines, text);) {
    auto const line = nlohmann::json::parse(text, nullptr, false);
    if (line.is_object() && line.contains("name") && line.contains("seconds")) reports.push_back(line);
  }
  return reports;
}

/// Says which PyTorch a report is of, and which processors it saw.
inline void print_peer(nlohmann::json const& report) {
  std::printf("the peer is PyTorch %s on the processors %s\n", report.value("torch", "?").c_str(),
              report.contains("processors") ? report["processors"].dump().c_str() : "?");
}

/// Runs one script, once with each of `flags` (eager, compiled, ...), and prints for each case that both measured our
/// time, that of each variant, and the ratio to the fastest of them: that one is the peer.
inline void compare(Recorder const& ours, std::string const& python, std::string const& script,
                    std::vector<std::string> const& flags) {
  std::map<std::string, std::map<double, std::string>> theirs;  // case -> seconds -> variant
  for (std::string const& variant : flags) {
    for (nlohmann::json const& report : ask_peer(python, script, variant)) {
      if (theirs.empty()) print_peer(report);
      theirs[report["name"]][report["seconds"]] = report.value("variant", "eager");
    }
  }
  for (auto const& [name, variants] : theirs) {
    auto const found = ours.seconds.find(name);
    if (found == ours.seconds.end()) continue;
    std::printf("%-56s %10.3f ms: %.2f times as fast as PyTorch", name.c_str(), found->second * 1e3,
                variants.begin()->first / found->second);
    for (auto const& [seconds, variant] : variants) std::printf(", %s %.3f ms", variant.c_str(), seconds * 1e3);
    std::printf("\n");
  }
  std::fflush(stdout);
}

}  // namespace bench
