/// Best: which evaluation of a run was the best so far, whose weights are kept in best.safetensors.
#pragma once

#include "attn/io/json.hpp"
#include "attn/train/metrics.hpp"

#include <cmath>
#include <cstdint>
#include <string>

namespace attn::train {

/// What the best is judged by: a metric of evaluations.
struct KeepBest {
  std::string metric;   ///< "dev_accuracy"
  bool lowest = false;  ///< less is better, as of a loss
};

/// The best value, and the number of steps after which it was measured; none before the first evaluation.
struct Best {
  double value = NAN;
  std::uint64_t step = 0;

  bool exists() const { return step > 0; }

  /// Whether these metrics are better; then they are the best. Of equal ones the first stays.
  bool improve(KeepBest const& by, Metrics const& metrics, std::uint64_t steps) {
    double const now = value_of(metrics, by.metric);
    if (std::isnan(now) || (exists() && !(by.lowest ? now < value : now > value))) return false;
    *this = {now, steps};
    return true;
  }

  io::Json to_json() const { return exists() ? io::Json{{"value", value}, {"step", step}} : io::Json(nullptr); }

  /// From a record of a run that had done `steps` steps; anything else than a Best is an error.
  static Best read(io::Json const& json, std::uint64_t steps, std::string const& path) {
    if (json.is_null()) return {};
    bool const good = json.is_object() && json.contains("value") && json["value"].is_number() &&
                      json.contains("step") && json["step"].is_number_unsigned();
    Best const best = good ? Best{json["value"].get<double>(), json["step"].get<std::uint64_t>()} : Best{};
    ATTN_CHECK(best.exists() && best.step <= steps, "fit: '", path,
               "' is not a checkpoint of this program: its best is ", json.dump());
    return best;
  }
};

}  // namespace attn::train
