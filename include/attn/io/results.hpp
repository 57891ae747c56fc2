/// results.json: on which machine and commit which runs were made, with their settings and outcomes.
#pragma once

#include "attn/core/kokkos_compat.hpp"
#include "attn/io/file.hpp"
#include "attn/io/json.hpp"

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace attn::io {

namespace detail {

/// The processor's name as Linux tells it.
inline std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(": ") + 2));
  }
  return "unknown processor";
}

}  // namespace detail

/// One line: processor, cores, and the Kokkos execution space with its threads. Call it while Kokkos runs.
inline std::string describe_machine() {
  Kokkos::DefaultExecutionSpace const space;
  std::string text = detail::processor() + ", " + std::to_string(std::thread::hardware_concurrency()) +
                     " hardware threads, Kokkos " + std::to_string(KOKKOS_VERSION / 10000) + "." +
                     std::to_string(KOKKOS_VERSION / 100 % 100) + "." + std::to_string(KOKKOS_VERSION % 100) + " " +
                     space.name();
  if constexpr (Kokkos::SpaceAccessibility<Kokkos::HostSpace, decltype(space)::memory_space>::accessible) {
    text += " with " + std::to_string(space.concurrency()) + (space.concurrency() == 1 ? " thread" : " threads");
  }
  return text;
}

/// The content of results.json. A run is an object with "activation", "power", "scale", "seed", its further settings,
/// its outcome ("test_accuracy", or "loss", "rmae", "rmse"), and "seconds". Numbers that are not finite become null.
class Results {
 public:
  /// `commit`: of the sources that the program was built from.
  explicit Results(std::string commit = "unknown") : machine_(describe_machine()), commit_(std::move(commit)) {}

  /// What `write` wrote: another program's results, or this one's from an earlier run.
  static Results read(Path const& path) {
    Json const json = Json::parse(MappedFile(path).text(), nullptr, false);
    bool const good = json.is_object() && json.contains("machine") && json["machine"].is_string() &&
                      json.contains("commit") && json["commit"].is_string() && json.contains("runs") &&
                      json["runs"].is_array();
    ATTN_CHECK(good, "Results::read: give a results.json with machine, commit and runs, '", path.string(),
               "' is not one");
    Results results(json["machine"].get<std::string>(), json["commit"].get<std::string>());
    for (Json const& run : json["runs"]) results.add(run);
    return results;
  }

  /// Appends a run; a field that every run must have and that is missing is an error.
  void add(Json run) {
    ATTN_CHECK(run.is_object(), "Results::add: give an object");
    for (std::string_view const field : {"activation", "power", "scale", "seed", "seconds"}) {
      ATTN_CHECK(run.contains(field), "Results::add: give the run its '", field, "'");
    }
    ATTN_CHECK(run.contains("test_accuracy") || run.contains("loss"),
               "Results::add: give the run its 'test_accuracy' or its 'loss'");
    runs_.push_back(std::move(run));
  }

  std::string const& machine() const { return machine_; }
  std::string const& commit() const { return commit_; }
  std::vector<Json> const& runs() const { return runs_; }

  Json to_json() const { return {{"machine", machine_}, {"commit", commit_}, {"runs", runs_}}; }

  /// Writes the file, atomically.
  void write(Path const& path) const {
    write_file(path, to_json().dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }

 private:
  Results(std::string machine, std::string commit) : machine_(std::move(machine)), commit_(std::move(commit)) {}

  std::string machine_;
  std::string commit_;
  std::vector<Json> runs_;
};

}  // namespace attn::io
