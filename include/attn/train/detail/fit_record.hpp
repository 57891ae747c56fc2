/// What `fit` keeps in a checkpoint beside the numbers, and how it reads its results back from a device.
#pragma once

#include "attn/core/tensor.hpp"
#include "attn/io/results.hpp"
#include "attn/train/metrics.hpp"

#include <cstdint>
#include <string>
#include <utility>

namespace attn::train::detail {

/// What a run knows besides parameters and optimizer.
struct FitRecord {
  std::uint64_t step = 0;
  Mean row_loss, epoch_loss;
  double last_epoch_loss = 0;
  Metrics evaluation;
  std::uint64_t rows = 0;
  double seconds = 0;

  io::Json to_json(io::Json const& settings) const {
    return {{"step", step},
            {"row_loss", {row_loss.sum, row_loss.count}},
            {"epoch_loss", {epoch_loss.sum, epoch_loss.count}},
            {"last_epoch_loss", last_epoch_loss},
            {"evaluation", evaluation},
            {"rows", rows},
            {"seconds", seconds},
            {"settings", settings}};
  }

  /// From the record of the checkpoint `path`.
  static FitRecord read(io::Path const& path, io::Json const& json) try {
    auto const mean = [](io::Json const& j) { return Mean{j.at(0).get<double>(), j.at(1).get<std::uint64_t>()}; };
    return {.step = json.at("step").get<std::uint64_t>(),
            .row_loss = mean(json.at("row_loss")),
            .epoch_loss = mean(json.at("epoch_loss")),
            .last_epoch_loss = json.at("last_epoch_loss").get<double>(),
            .evaluation = json.at("evaluation").get<Metrics>(),
            .rows = json.at("rows").get<std::uint64_t>(),
            .seconds = json.at("seconds").get<double>()};
  } catch (io::Json::exception const& error) {
    throw Error("fit: '" + path.string() + "' is not a checkpoint of this program (" + error.what() + ")");
  }
};

/// Throws unless the settings of the first run are those of now, and names the first that is not.
inline void check_settings(io::Path const& path, io::Json const& record, io::Json const& now) {
  io::Json const first = record.is_object() ? record.value("settings", io::Json::object()) : io::Json::object();
  for (auto const& [name, value] : now.items()) {
    std::string const before = first.contains(name) ? first[name].dump() : "not set";
    ATTN_CHECK(first.contains(name) && first[name] == value, "fit: ", name, " is ", value.dump(), ", but it was ",
               before, " when '", path.string(), "' was written; resume with the settings of the first run");
  }
}

template <class Exec, class From, class T>
void copy_number(Exec const& exec, From const& from, T& to) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  Kokkos::deep_copy(exec, Kokkos::View<T, Kokkos::HostSpace, Unmanaged>(&to),
                    Kokkos::View<T const, typename From::MemorySpace, Unmanaged>(from.data()));
}

/// Two numbers of the device, after one wait.
template <class Exec, class A, class B>
std::pair<double, double> fetch(Exec const& exec, A const& a, B const& b) {
  typename A::Scalar first{};
  typename B::Scalar second{};
  if constexpr (HostExecutionSpace<Exec>) {
    exec.fence("attn::train::fit");
    first = *a.data();
    second = *b.data();
  } else {
    copy_number(exec, a, first);
    copy_number(exec, b, second);
    exec.fence("attn::train::fit");
  }
  return {static_cast<double>(first), static_cast<double>(second)};
}

}  // namespace attn::train::detail
