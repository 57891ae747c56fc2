// The scripts in bench/peers, run as child processes, beside the times of this program.
#pragma once

#include <benchmark/benchmark.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

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

/// Runs one script and prints, for each case that both measured, both times and their ratio.
inline void compare(Recorder const& ours, std::string const& python, std::string const& script,
                    std::string const& flags) {
  auto const path = std::filesystem::path(__FILE__).parent_path() / "peers" / script;
  std::string const command = "'" + python + "' '" + path.string() + "' " + flags;
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return;
  std::string output;
  char buffer[4096];
  while (std::size_t const n = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  if (int const status = ::pclose(pipe); status != 0) std::printf("the peer ended with status %d\n", status);
  std::size_t begin = 0;
  for (std::size_t end; (end = output.find('\n', begin)) != std::string::npos; begin = end + 1) {
    auto const line = nlohmann::json::parse(output.substr(begin, end - begin), nullptr, false);
    if (!line.is_object() || !line.contains("name") || !line.contains("seconds")) continue;
    std::string const name = line["name"];
    auto const found = ours.seconds.find(name);
    if (found == ours.seconds.end()) continue;
    double const theirs = line["seconds"];
    std::string const variant = line.contains("variant") ? ", " + line.value("variant", "") : "";
    std::printf("%-56s %10.3f ms, PyTorch %s%s %10.3f ms: %.2f times as fast\n", name.c_str(), found->second * 1e3,
                line.value("torch", "?").c_str(), variant.c_str(), theirs * 1e3, theirs / found->second);
    std::fflush(stdout);
  }
}

}  // namespace bench
