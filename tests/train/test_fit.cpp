#include "attn/optim/adamw.hpp"
#include "attn/testing/tolerance.hpp"
#include "attn/train/fit.hpp"

#include <sstream>

#include "train/toy_task.hpp"

namespace {

using namespace attn;
using namespace attn::train;
using toy::Ctx;
using toy::Folder;

struct ToyRun {
  Ctx ctx{5};
  toy::Task task{ctx};
  optim::AdamW<float, Ctx::MemorySpace> adamw{ctx, {.weight_decay = 0.01}};
  optim::Cosine schedule{.base = 0.1, .total = 24, .warmup = 3};
  std::ostringstream printed;
  FitOptions options{.epochs = 4, .clip = 2, .log_every = 4, .settings = {{"width", 7}, {"rate", 0.1}}};

  ToyRun() { options.progress = {.stream = &printed, .terminal = false}; }

  FitResult fit() { return train::fit(ctx, task, adamw, schedule, options); }
};

std::string message_of(ToyRun& run) {
  try {
    run.fit();
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

std::string weights(Folder const& folder) { return toy::bytes_of(weights_path(folder.path)); }

/// metrics.csv without what depends on the clock.
std::vector<std::vector<std::string>> rows(Folder const& folder) {
  auto table = io::read_csv(metrics_path(folder.path));
  for (auto& row : table.rows) row.at(4) = "";
  return table.rows;
}

TEST(Fit, FortyEpochs_ComeNearTheSolution) {
  ToyRun run;
  run.options.epochs = 40;
  run.schedule.total = 240;
  double const before = value_of(run.task.evaluate((run.ctx.training = false, run.ctx)), "distance");
  FitResult const result = run.fit();
  EXPECT_LT(value_of(result.evaluation, "distance"), 0.1 * before);
  EXPECT_EQ(result.steps, 240u);
  EXPECT_FALSE(result.interrupted);
  EXPECT_GT(value_of(result.training, "loss"), 0);
}

TEST(Fit, WithADirectory_LeavesMetricsCheckpointAndWeights) {
  Folder const folder("fit_files");
  ToyRun run;
  run.options.out = folder.path;
  run.options.progress.line_seconds = 0;
  FitResult const result = run.fit();
  auto const table = io::read_csv(metrics_path(folder.path));
  EXPECT_EQ(table.columns, (std::vector<std::string>{"step", "epoch", "learning_rate", "gradient_norm",
                                                     "items_per_second", "loss", "twice", "seen", "distance"}));
  // The first step, every fourth, and the last of each epoch of 6.
  EXPECT_EQ(table.numbers("step"), (std::vector<double>{1, 4, 6, 8, 12, 16, 18, 20, 24}));
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    EXPECT_DOUBLE_EQ(table.numbers("twice")[i], 2 * table.numbers("loss")[i]);
  }
  EXPECT_EQ(table.numbers("seen"), table.numbers("step"));
  EXPECT_EQ(table.numbers("epoch")[2], 1);
  auto const distance = table.numbers("distance");
  EXPECT_TRUE(std::isnan(distance[0]) && std::isnan(distance[1]));
  EXPECT_EQ(distance.back(), value_of(result.evaluation, "distance"));
  EXPECT_DOUBLE_EQ(table.numbers("learning_rate")[1], run.schedule(3));

  ToyRun other;
  load_weights(weights_path(folder.path), other.ctx);
  EXPECT_EQ(value_of(other.task.evaluate((other.ctx.training = false, other.ctx)), "distance"), distance.back());
  EXPECT_NE(run.printed.str().find("epoch 4/4"), std::string::npos);
  EXPECT_EQ(run.printed.str().find("nan"), std::string::npos) << "a mean of no step: " << run.printed.str();
}

TEST(Fit, WithoutADirectory_WritesNothing) {
  Folder const folder("fit_nothing");
  auto const before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path);
  ToyRun run;
  run.fit();
  std::filesystem::current_path(before);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
}

TEST(Fit, InterruptedAnywhere_ResumesToTheSameBits) {
  for (bool const averages : {false, true}) {
    auto const prepare = [&](ToyRun& run, Folder const& folder) {
      run.options.out = folder.path;
      if (averages) run.options.ema = optim::EmaOptions{.decay = 0.9};
    };
    Folder const whole_folder("fit_whole");
    ToyRun whole;
    prepare(whole, whole_folder);
    FitResult const expected = whole.fit();

    for (std::uint64_t const interrupted_in : averages ? std::vector{0u, 4u, 5u, 13u, 22u} : std::vector{8u}) {
      Folder const folder("fit_interrupted");
      StopRequest const stop;
      ToyRun first;
      prepare(first, folder);
      first.options.stop = &stop;
      first.task.interrupt_before = interrupted_in;
      FitResult const partial = first.fit();
      EXPECT_TRUE(partial.interrupted);
      EXPECT_EQ(partial.steps, interrupted_in + 1) << "the step was not finished, or another one began";
      EXPECT_EQ(stop.exit_code(), 128 + SIGINT);
      EXPECT_FALSE(std::filesystem::exists(weights_path(folder.path)));

      ToyRun second;
      prepare(second, folder);
      second.options.resume = true;
      FitResult const result = second.fit();
      EXPECT_EQ(second.task.steps.front(), interrupted_in + 1);
      EXPECT_EQ(weights(folder), weights(whole_folder)) << "interrupted in step " << interrupted_in;
      EXPECT_EQ(rows(folder), rows(whole_folder)) << "interrupted in step " << interrupted_in;
      EXPECT_EQ(result.evaluation, expected.evaluation);
      EXPECT_EQ(result.training, expected.training);
    }
  }
}

TEST(Fit, WithAScaledLoss_LeavesOutWhatOverflows_AndResumesToTheSameBits) {
  auto const prepare = [](ToyRun& run, Folder const& folder) {
    run.options.out = folder.path;
    run.options.loss_scale = optim::LossScaleOptions{.initial = 0x1p18, .interval = 2};
    run.options.log_every = 1;
  };
  Folder const whole_folder("fit_scaled"), folder("fit_scaled_interrupted");
  ToyRun whole;
  prepare(whole, whole_folder);
  double const before = value_of(whole.task.evaluate((whole.ctx.training = false, whole.ctx)), "distance");
  EXPECT_LT(value_of(whole.fit().evaluation, "distance"), 0.9 * before);
  int left_out = 0;
  for (auto const& row : rows(whole_folder)) left_out += row.at(3) == "inf" || row.at(3) == "nan" ? 1 : 0;
  EXPECT_GT(left_out, 3) << "a scale that is doubled after two good steps overflows again and again";
  EXPECT_LT(left_out, 20);
  EXPECT_EQ(read_checkpoint_record(checkpoint_path(whole_folder.path)).at("step"), 24);
  EXPECT_EQ(whole.adamw.state(whole.ctx).steps.get(), std::uint64_t(24 - left_out));

  StopRequest const stop;
  ToyRun first;
  prepare(first, folder);
  first.options.stop = &stop;
  first.task.interrupt_before = 10;
  EXPECT_TRUE(first.fit().interrupted);
  ToyRun second;
  prepare(second, folder);
  second.options.resume = true;
  second.fit();
  EXPECT_EQ(weights(folder), weights(whole_folder));
  EXPECT_EQ(rows(folder), rows(whole_folder));
}

TEST(Fit, WithAScaledLoss_AGradientThatNoScaleMends_EndsTheRun) {
  struct Broken : toy::Task {
    using toy::Task::Task;
    Tensor<float const, 1> step(Ctx& ctx, bool observe) {
      gradient_breaks_in = next;
      return toy::Task::step(ctx, observe);
    }
  };
  Ctx ctx(5);
  Broken broken(ctx);
  optim::AdamW adamw(ctx);
  std::ostringstream printed;
  FitOptions const options{
      .epochs = 20, .loss_scale = optim::LossScaleOptions{}, .progress = {.stream = &printed, .terminal = false}};
  EXPECT_THROW(fit(ctx, broken, adamw, optim::Constant{}, options), io::FailedRun);
  EXPECT_EQ(broken.steps.size(), 40u);
}

TEST(Fit, RowsAfterTheLastCheckpoint_AreWrittenAnewOnResume) {
  Folder const folder("fit_killed"), whole_folder("fit_not_killed");
  ToyRun whole;
  whole.options.out = whole_folder.path;
  whole.fit();
  ToyRun broken;  // as after a power cut: rows were written that no checkpoint knows of
  broken.options.out = folder.path;
  broken.task.loss_breaks_in = 16;
  EXPECT_THROW(broken.fit(), io::FailedRun);
  EXPECT_EQ(io::read_csv(metrics_path(folder.path)).rows.size(), 6u);
  ToyRun resumed;
  resumed.options.out = folder.path;
  resumed.options.resume = true;
  resumed.fit();
  EXPECT_EQ(resumed.task.steps.front(), 12u);
  EXPECT_EQ(rows(folder), rows(whole_folder));
  EXPECT_EQ(weights(folder), weights(whole_folder));
}

TEST(Fit, ALossThatIsNotANumber_StopsNamesTheStepAndKeepsTheCheckpoint) {
  Folder const folder("fit_nan");
  ToyRun run;
  run.options.out = folder.path;
  run.task.loss_breaks_in = 9;
  std::string const message = message_of(run);
  EXPECT_NE(message.find("the loss became nan in step 10 (epoch 2)"), std::string::npos) << message;
  EXPECT_NE(message.find("checkpoint.safetensors"), std::string::npos) << message;
  EXPECT_EQ(run.task.steps.size(), 10u);
  EXPECT_EQ(read_checkpoint_record(checkpoint_path(folder.path)).at("step"), 6);
  EXPECT_FALSE(std::filesystem::exists(weights_path(folder.path)));
}

TEST(Fit, StepsThatAreReadTogether_LeaveTheSameFiles_AndNameTheStepThatBroke) {
  Folder const each_folder("fit_each"), together_folder("fit_together"), broken_folder("fit_broken");
  auto const fit_into = [](Folder const& folder, std::uint64_t wait_every) {
    ToyRun run;
    run.options.out = folder.path;
    run.options.wait_every = wait_every;
    run.fit();
    return read_checkpoint_record(checkpoint_path(folder.path)).at("epoch");
  };
  EXPECT_EQ(fit_into(each_folder, 1), fit_into(together_folder, 3));
  EXPECT_EQ(rows(together_folder), rows(each_folder));
  EXPECT_EQ(weights(together_folder), weights(each_folder));

  ToyRun broken;
  broken.options.out = broken_folder.path;
  broken.options.wait_every = 100;
  broken.task.loss_breaks_in = 8;
  std::string const message = message_of(broken);
  EXPECT_NE(message.find("the loss became nan in step 9 (epoch 2)"), std::string::npos) << message;
  EXPECT_EQ(broken.task.steps.size(), 12u) << "not when metrics of step 12 were to be written";
  EXPECT_EQ(read_checkpoint_record(checkpoint_path(broken_folder.path)).at("step"), 6);
}

TEST(Fit, AGradientThatIsNotANumber_StopsBeforeACheckpointIsSpoiled) {
  Folder const folder("fit_nan_gradient");
  ToyRun run;
  run.options.out = folder.path;
  run.task.gradient_breaks_in = 5;  // the last step of the first epoch
  std::string const message = message_of(run);
  EXPECT_NE(message.find("the gradient's norm became"), std::string::npos) << message;
  EXPECT_NE(message.find("in step 6"), std::string::npos) << message;
  EXPECT_EQ(message.find("checkpoint"), std::string::npos) << message;
  EXPECT_FALSE(std::filesystem::exists(checkpoint_path(folder.path)));
}

TEST(Fit, WeightsThatOverflow_AreNotWritten) {
  Folder const folder("fit_overflow");
  ToyRun run;
  run.options.out = folder.path;
  run.options.clip = 0;
  run.schedule = {.base = 1e39, .total = 24, .start = 1e39};
  EXPECT_THROW(run.fit(), io::FailedRun);
  EXPECT_FALSE(std::filesystem::exists(checkpoint_path(folder.path)));
  EXPECT_FALSE(std::filesystem::exists(weights_path(folder.path)));
}

TEST(Fit, ResumeWithOtherSettings_NamesTheSetting) {
  Folder const folder("fit_settings");
  ToyRun run;
  run.options.out = folder.path;
  run.fit();
  ToyRun other;
  other.options.out = folder.path;
  other.options.resume = true;
  other.options.settings["width"] = 8;
  std::string const message = message_of(other);
  EXPECT_NE(message.find("width is 8, but it was 7"), std::string::npos) << message;
  ToyRun without_ema;
  without_ema.options.out = folder.path;
  without_ema.options.resume = true;
  without_ema.options.ema = optim::EmaOptions{};
  EXPECT_NE(message_of(without_ema).find("average"), std::string::npos);
}

TEST(Fit, ResumeOfAFinishedRun_TrainsNoMore) {
  Folder const folder("fit_finished");
  ToyRun run;
  run.options.out = folder.path;
  FitResult const first = run.fit();
  auto const before = weights(folder);
  ToyRun again;
  again.options.out = folder.path;
  again.options.resume = true;
  FitResult const second = again.fit();
  EXPECT_TRUE(again.task.steps.empty());
  EXPECT_EQ(second.evaluation, first.evaluation);
  EXPECT_EQ(second.training, first.training);
  EXPECT_EQ(weights(folder), before);
}

TEST(Fit, ANewRunInAnOldDirectory_PutsTheOldCheckpointAside) {
  Folder const folder("fit_again");
  ToyRun run;
  run.options.out = folder.path;
  run.fit();
  auto const before = toy::bytes_of(checkpoint_path(folder.path));
  ToyRun again;
  again.options.out = folder.path;
  again.task.loss_breaks_in = 0;
  EXPECT_EQ(message_of(again).find("checkpoint"), std::string::npos) << "it is none of this run";
  EXPECT_EQ(toy::bytes_of(folder.path / "checkpoint.previous.safetensors"), before);
}

TEST(Fit, ResumeWithoutACheckpoint_SaysWhichFileIsMissing) {
  Folder const folder("fit_no_checkpoint");
  ToyRun run;
  run.options.out = folder.path;
  run.options.resume = true;
  EXPECT_NE(message_of(run).find("checkpoint.safetensors' to resume from"), std::string::npos);
  ToyRun nowhere;
  nowhere.options.resume = true;
  EXPECT_NE(message_of(nowhere).find("directory"), std::string::npos);
}

TEST(Fit, WithAverages_TheyAreEvaluatedAndKept) {
  Folder const folder("fit_ema");
  ToyRun run;
  run.options.out = folder.path;
  run.options.ema = optim::EmaOptions{.decay = 0.9};
  FitResult const result = run.fit();
  double const raw = value_of(run.task.evaluate((run.ctx.training = false, run.ctx)), "distance");
  EXPECT_NE(value_of(result.evaluation, "distance"), raw);
  ToyRun other;
  load_weights(weights_path(folder.path), other.ctx);
  EXPECT_EQ(value_of(other.task.evaluate((other.ctx.training = false, other.ctx)), "distance"),
            value_of(result.evaluation, "distance"));
}

TEST(Fit, WithAveragesThatAreNotJudged_TheyAreStoredBesideTheWeights) {
  Folder const folder("fit_ema_stored"), judged("fit_ema_judged");
  ToyRun plain, run, other;
  plain.fit();
  for (ToyRun* const with : {&run, &other}) with->options.ema = optim::EmaOptions{.decay = 0.9};
  run.options.out = folder.path;
  run.options.judge_averages = false;
  run.options.best = KeepBest{.metric = "distance", .lowest = true};
  other.options.out = judged.path;
  FitResult const result = run.fit(), averaged = other.fit();
  // The weights and what is said of them are those of a run without averages ...
  auto const distance_of = [](std::filesystem::path const& file) {
    ToyRun loaded;
    load_weights(file, loaded.ctx);
    return value_of(loaded.task.evaluate((loaded.ctx.training = false, loaded.ctx)), "distance");
  };
  plain.ctx.training = false;
  double const raw = value_of(plain.task.evaluate(plain.ctx), "distance");
  EXPECT_EQ(value_of(result.evaluation, "distance"), raw);
  EXPECT_EQ(distance_of(weights_path(folder.path)), raw);
  EXPECT_EQ(distance_of(best_path(folder.path)), result.best.value);
  // ... and the averages are those that another run judges.
  EXPECT_EQ(distance_of(average_path(folder.path)), value_of(averaged.evaluation, "distance"));
  EXPECT_FALSE(std::filesystem::exists(average_path(judged.path)));
}

/// A toy whose step is the mean of `parts` steps of another, made by itself.
struct MeanOfParts : toy::Task {
  using toy::Task::Task;
  Tensor<float const, 1> step(Ctx& c, bool observe) {
    float sums[2] = {};
    for (std::uint64_t part = 0; part < parts; ++part) {
      auto const numbers = toy::Task::step(c, observe);
      c.exec.fence();
      for (int i = 0; i < 2; ++i) sums[i] += numbers.data()[i] / float(parts);
    }
    auto const gradients = c.parameters.gradients();
    for (Index i = 0; i < gradients.extent(0); ++i) gradients.data()[i] *= 1 / float(parts);
    auto const means = c.tensor<float>(2);
    for (int i = 0; i < 2; ++i) means.data()[i] = sums[i];
    return means;
  }
};

TEST(Fit, Accumulation_FollowsTheMeanOfTheGradients) {
  for (std::uint64_t const parts : {2u, 3u, 4u}) {
    Folder const folder("fit_accumulated"), whole_folder("fit_mean");
    ToyRun run;
    run.options.out = folder.path;
    run.options.accumulate = run.task.parts = parts;
    FitResult const result = run.fit();
    EXPECT_EQ(run.task.steps.size(), 24 * parts);
    EXPECT_EQ(result.steps, 24u);

    ToyRun whole;
    whole.options.out = whole_folder.path;
    Ctx ctx(5);
    MeanOfParts by_itself(ctx);
    by_itself.parts = parts;
    optim::AdamW<float, Ctx::MemorySpace> adamw{ctx, {.weight_decay = 0.01}};
    train::fit(ctx, by_itself, adamw, whole.schedule, whole.options);
    if (parts != 3) {  // powers of two divide without rounding
      EXPECT_EQ(weights(folder), weights(whole_folder)) << parts;
      EXPECT_EQ(rows(folder), rows(whole_folder)) << parts;
    } else {
      auto const values = run.ctx.parameters.host_values(run.ctx.parameters.entry("head.weight"));
      auto const others = ctx.parameters.host_values(ctx.parameters.entry("head.weight"));
      for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(values[i], others[i], attn::testing::tolerance<float>(24 * 35)) << i;
      }
    }
  }
}

TEST(Fit, AccumulatedAndInterrupted_ResumesToTheSameBits) {
  Folder const whole_folder("fit_accumulated_whole"), folder("fit_accumulated_parts");
  auto const prepare = [](ToyRun& run, Folder const& f) {
    run.options.out = f.path;
    run.options.accumulate = run.task.parts = 3;
    run.options.evaluate = {.steps = 4};
    run.options.checkpoint = {.steps = 5};
  };
  ToyRun whole;
  prepare(whole, whole_folder);
  whole.fit();
  StopRequest const stop;
  ToyRun first;
  prepare(first, folder);
  first.options.stop = &stop;
  first.task.interrupt_before = 22;  // in the middle of step 8
  EXPECT_EQ(first.fit().steps, 8u);
  ToyRun second;
  prepare(second, folder);
  second.options.resume = true;
  second.fit();
  EXPECT_EQ(second.task.steps.front(), 24u);
  EXPECT_EQ(weights(folder), weights(whole_folder));
  EXPECT_EQ(rows(folder), rows(whole_folder));
}

TEST(Fit, EvaluationsAndCheckpointsEverySoManySteps) {
  Folder const folder("fit_every");
  ToyRun run;
  run.options.out = folder.path;
  run.options.epochs = 1;
  run.options.log_every = 100;
  run.options.evaluate = {.steps = 4};
  run.options.checkpoint = {.steps = 5};
  run.task.loss_breaks_in = 5;  // the sixth step
  EXPECT_THROW(run.fit(), io::FailedRun);
  EXPECT_EQ(read_checkpoint_record(checkpoint_path(folder.path)).at("step"), 5);
  EXPECT_EQ(run.task.evaluations, 1);
  EXPECT_EQ(io::read_csv(metrics_path(folder.path)).numbers("step"), (std::vector<double>{1, 4}));
  ToyRun again;
  again.options = run.options;
  again.options.progress.stream = &again.printed;
  again.options.resume = true;
  again.fit();
  EXPECT_EQ(again.task.steps, (std::vector<std::uint64_t>{5}));
  EXPECT_EQ(again.task.evaluations, 1) << "after the last step";
  EXPECT_EQ(io::read_csv(metrics_path(folder.path)).numbers("step"), (std::vector<double>{1, 4, 6}));
}

TEST(Fit, EvaluationsByTheClock_ComeAtTheirTime) {
  ToyRun often, seldom;
  often.options.evaluate = {.seconds = 1e-9};
  often.fit();
  EXPECT_EQ(often.task.evaluations, 24);
  seldom.options.evaluate = {.seconds = 1e9};
  seldom.fit();
  EXPECT_EQ(seldom.task.evaluations, 1);
}

TEST(Fit, TheBestEvaluation_KeepsItsWeights_AlsoThroughInterruptions) {
  /// Distances that go down and up again.
  struct Uneven : toy::Task {
    using toy::Task::Task;
    Metrics evaluate(Ctx& c) {
      toy::Task::evaluate(c);
      std::uint64_t const epoch = (c.step + 1) / 6;
      return {{"distance", epoch == 2 || epoch == 3 ? 1 : 5}};
    }
  };
  auto const run = [](Folder const& folder, bool resume, std::uint64_t interrupt_before) {
    StopRequest const stop;
    Ctx ctx(5);
    Uneven task(ctx);
    task.interrupt_before = interrupt_before;
    optim::AdamW<float, Ctx::MemorySpace> adamw{ctx, {.weight_decay = 0.01}};
    std::ostringstream printed;
    return train::fit(ctx, task, adamw, optim::Constant{0.1},
                      {.epochs = 4,
                       .best = KeepBest{.metric = "distance", .lowest = true},
                       .out = folder.path,
                       .resume = resume,
                       .metadata = {{"about", "these weights"}},
                       .progress = {.stream = &printed, .terminal = false},
                       .stop = &stop});
  };
  Folder const whole("fit_best_whole"), parts("fit_best_parts");
  FitResult const result = run(whole, false, 99);
  EXPECT_EQ(result.best.step, 12u) << "of equal ones the first";
  EXPECT_EQ(result.best.value, 1);
  EXPECT_TRUE(run(parts, false, 20).interrupted);
  EXPECT_EQ(run(parts, true, 99).best.step, 12u);
  EXPECT_EQ(toy::bytes_of(best_path(parts.path)), toy::bytes_of(best_path(whole.path)));
  EXPECT_NE(toy::bytes_of(best_path(whole.path)), toy::bytes_of(weights_path(whole.path)));
  EXPECT_EQ(io::Safetensors(best_path(whole.path)).metadata().at("about"), "these weights");
  run(whole, false, 0);  // a new run, which ends before its first evaluation
  EXPECT_FALSE(std::filesystem::exists(best_path(whole.path))) << "the best of another run";
}

TEST(Fit, SchedulesCountStepsOrEpochs) {
  Folder const folder("fit_per_epoch");
  Ctx ctx(5);
  toy::Task task(ctx);
  optim::AdamW<float, Ctx::MemorySpace> adamw(ctx);
  optim::Cosine const cosine{.base = 0.1, .total = 4};
  std::ostringstream printed;
  train::fit(ctx, task, adamw, optim::PerEpoch<optim::Cosine>{.schedule = cosine, .steps_per_epoch = 6},
             {.epochs = 4, .log_every = 1, .out = folder.path, .progress = {.stream = &printed, .terminal = false}});
  auto const rates = io::read_csv(metrics_path(folder.path)).numbers("learning_rate");
  for (std::size_t step = 0; step < rates.size(); ++step) EXPECT_DOUBLE_EQ(rates[step], cosine(Index(step / 6)));
}

int allocations = 0;
int fences = 0;

TEST(Fit, AStepAfterTheFirst_AllocatesNothingAndWaitsOnce_OrForAllThatAreReadTogether) {
  struct Counting : toy::Task {
    using toy::Task::Task;
    int waits = 0;
    Tensor<float const, 1> step(Ctx& c, bool observe) {
      if (steps.size() >= 2) {  // the first step may
        EXPECT_EQ(allocations, 0) << "before step " << next;
        EXPECT_LE(fences, 1) << "before step " << next;
        waits += fences;
      }
      allocations = fences = 0;
      return toy::Task::step(c, observe);
    }
    Metrics evaluate(Ctx&) { return {{"distance", 0}}; }
  };
  std::ostringstream printed;
  using namespace Kokkos::Tools::Experimental;
  auto const before = get_callbacks();
  set_allocate_data_callback(
      [](Kokkos_Profiling_SpaceHandle, char const*, void const*, std::uint64_t) { ++allocations; });
  set_begin_fence_callback([](char const* name, std::uint32_t, std::uint64_t*) {
    // A kernel of a single block fences a host space before it runs in the caller; nothing waits there.
    if (!std::string_view(name).starts_with("attn::optim")) ++fences;
  });
  for (std::uint64_t const wait_every : {1, 3}) {
    Ctx ctx(5);
    Counting task(ctx);
    optim::AdamW adamw(ctx);
    fit(ctx, task, adamw, optim::Constant{},
        FitOptions{.epochs = 3,
                   .clip = 1,
                   .ema = optim::EmaOptions{},
                   .log_every = wait_every == 1 ? 2u : 6u,
                   .wait_every = wait_every,
                   .progress = {.stream = &printed, .terminal = false}});
    EXPECT_EQ(task.steps.size(), 18u);
    if (wait_every == 3) {
      EXPECT_EQ(task.waits, 5);  // after steps 4, 6, 9, 12 and 15
    }
  }
  set_callbacks(before);
}

}  // namespace
