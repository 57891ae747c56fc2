// What bench/on_gpu.sh measured, as tables for a page.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace bench {

/// A file's JSON; an empty object where there is none, or none that can be read.
inline nlohmann::json read_json(std::filesystem::path const& path) {
  std::ifstream file(path);
  auto const json = file ? nlohmann::json::parse(file, nullptr, false) : nlohmann::json::object();
  return json.is_discarded() ? nlohmann::json::object() : json;
}

/// Tables of what lies in `folder`: STAGE.json and, where there was a peer, STAGE.compared.json. A stage that did not
/// run or failed is said.
class GpuTable {
 public:
  explicit GpuTable(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void write(std::ostream& to) const {
    auto const about = read_json(folder_ / "environment.json");
    to << "# On a GPU\n\n";
    for (char const* what : {"gpu", "toolkit", "host", "pytorch"})
      to << what << ": " << about.value(what, "?") << "\n\n";
    auto const tests = read_json(folder_ / "tests.json");
    to << "Tests: ";
    if (tests.contains("passed")) {
      to << tests["passed"] << " passed, failed: " << tests["failed"].dump();
      if (tests.contains("running")) to << ", stopped in " << tests["running"].dump();
      to << "\n\n";
    } else {
      to << "not run\n\n";
    }
    to << "Sanitizers, 0 where nothing was found: " << read_json(folder_ / "sanitizers.json").dump() << "\n\n";
    benchmarks(to, "attention", {"TFLOP/s", "of_gemm"});
    benchmarks(to, "training", {"images/s", "GFLOP/s", "of_gemm"});
    benchmarks(to, "training_pde", {"of_gemm_peak"});
  }

 private:
  /// Of a stage that was made in parts, STAGE.1, STAGE.2, ..., all that there are.
  void benchmarks(std::ostream& to, std::string const& stage, std::vector<std::string> const& counters) const {
    nlohmann::json measured = nlohmann::json::array();
    std::map<std::string, nlohmann::json> compared;
    for (std::string const part : {"", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8", ".9"}) {
      auto const of_part = read_json(folder_ / (stage + part + ".json"));
      if (!of_part.contains("benchmarks")) continue;
      measured.insert(measured.end(), of_part["benchmarks"].begin(), of_part["benchmarks"].end());
      for (auto const& one : read_json(folder_ / (stage + part + ".compared.json")))
        compared[one.value("name", "")] = one;
    }
    to << "## " << stage << "\n\n";
    if (measured.empty()) {
      to << "not run\n\n";
      return;
    }
    to << "| case | ms |";
    for (std::string const& counter : counters) to << " " << counter << " |";
    to << " times as fast as PyTorch | PyTorch, ms | kernel |\n|---|---|";
    for (std::size_t i = 0; i < counters.size(); ++i) to << "---|";
    to << "---|---|---|\n";
    for (auto const& one : measured) row(to, one, counters, compared);
    to << "\n";
  }

  static void row(std::ostream& to, nlohmann::json const& one, std::vector<std::string> const& counters,
                  std::map<std::string, nlohmann::json> const& compared) {
    std::string name = one.value("name", "?");
    for (char const* end : {"/real_time", "/manual_time"}) name = name.substr(0, name.find(end));
    name = name.substr(0, name.find("/min_time"));
    to << "| " << name << " | " << number(one.value("best_ms", one.value("real_time", 0.0))) << " |";
    for (std::string const& counter : counters) to << " " << number(one.value(counter, 0.0)) << " |";
    if (auto const found = compared.find(name); found != compared.end()) {
      auto const& ratio = found->second["ratio"];
      to << " " << number(ratio[1]) << " (" << number(ratio[0]) << " to " << number(ratio[2]) << ") |";
      for (auto const& [variant, seconds] : found->second["variants"].items()) {
        to << " " << variant << " " << number(seconds.get<double>() * 1e3);
      }
      to << " |";
    } else {
      to << " | |";
    }
    to << " " << one.value("label", "") << " |\n";
  }

  static std::string number(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", x);
    return text;
  }

  std::filesystem::path folder_;
};

}  // namespace bench
