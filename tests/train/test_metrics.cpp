#include "attn/train/metrics.hpp"

#include "train/toy_task.hpp"

namespace {

using namespace attn;
using namespace attn::train;

TEST(MetricsLog, AMetricThatARowLacks_LeavesItsCellEmpty) {
  toy::Folder const folder("metrics");
  MetricsLog log(folder.path / "m.csv", {"step", "loss", "accuracy"});
  log.append({{"loss", 0.5}, {"step", 1}});
  log.append({{"accuracy", 0.25}});
  EXPECT_EQ(log.rows(), 2u);
  auto const table = io::read_csv(folder.path / "m.csv");
  EXPECT_EQ(table.rows, (std::vector<std::vector<std::string>>{{"1", "0.5", ""}, {"", "", "0.25"}}));
}

TEST(MetricsLog, AMetricWithoutAColumn_IsRefused) {
  toy::Folder const folder("metrics_column");
  MetricsLog log(folder.path / "m.csv", {"step"});
  EXPECT_THROW(log.append({{"loss", 1}}), Error);
  EXPECT_EQ(log.rows(), 0u);
}

TEST(MetricsLog, Resumed_ForgetsTheRowsAfterTheCheckpoint) {
  toy::Folder const folder("metrics_resumed");
  {
    MetricsLog log(folder.path / "m.csv", {"step"});
    for (double const step : {1, 2, 3}) log.append({{"step", step}});
  }
  MetricsLog log = MetricsLog::resume(folder.path / "m.csv", {"step"}, 2);
  log.append({{"step", 7}});
  EXPECT_EQ(io::read_csv(folder.path / "m.csv").numbers("step"), (std::vector<double>{1, 2, 7}));
}

TEST(ValueOf, AnUnknownMetric_IsAnError) {
  Metrics const metrics{{"loss", 2}};
  EXPECT_EQ(value_of(metrics, "loss"), 2);
  EXPECT_THROW(value_of(metrics, "los"), Error);
}

TEST(Mean, OfWhatWasAddedSinceReset) {
  Mean mean;
  mean.add(1);
  mean.add(2);
  EXPECT_EQ(mean.value(), 1.5);
  mean.reset();
  mean.add(7);
  EXPECT_EQ(mean.value(), 7);
}

}  // namespace
