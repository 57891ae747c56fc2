// Run alone, and by mpirun with 2 and 4 ranks: communicators, and how a step shares its gradients and its optimizer.
#include "attn/nn/context.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/train/distributed/agreement.hpp"
#include "attn/train/distributed/cost_model.hpp"
#include "attn/train/distributed/detail/shared_step.hpp"
#include "attn/train/distributed/mpi_communicator.hpp"
#include "attn/train/distributed/rank_trace.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

namespace attn::train {
namespace {

using Ctx = nn::Context<Kokkos::DefaultHostExecutionSpace>;
using Flat = Tensor<float, 1, Kokkos::HostSpace>;

static_assert(Communicator<SingleProcess, Ctx::Space, float>);
static_assert(Communicator<MpiCommunicator, Ctx::Space, float>);
static_assert(Communicator<MpiCommunicator, Ctx::Space, double>);

MpiCommunicator& ranks(bool ordered = true) {
  static MpiCommunicator by_rank;
  static MpiCommunicator any(MpiOptions{.ordered = false});
  return ordered ? by_rank : any;
}

/// A number of rank r, for element i.
float number(int r, Index i) {
  return float(random_bits64({.seed = 3, .stream = std::uint64_t(r)}, std::uint64_t(i)) >> 40) / float(1 << 24);
}

TEST(MpiCommunicator, AddsInTheOrderOfRanks_HoweverSlicesAreCut) {
  MpiCommunicator& c = ranks();
  Ctx::Space const exec;
  for (Index const n : {0, 1, 3, 16, 1000, 4099}) {
    std::vector<float> mine(static_cast<std::size_t>(n)), expected(mine.size());
    for (Index i = 0; i < n; ++i) {
      mine[std::size_t(i)] = number(c.rank(), i);
      for (int r = 0; r < c.size(); ++r) expected[std::size_t(i)] += number(r, i);
    }
    std::vector<float> whole = mine, cut = mine;
    double const before = c.sent();
    c.start(exec, Flat(whole.data(), {n}));
    c.finish(exec);
    double const bytes = c.sent() - before;
    EXPECT_NEAR(bytes, 2.0 * double(n) * sizeof(float) * (c.size() - 1) / c.size(), 64.0 * 2 * c.size());
    c.start(exec, Flat(cut.data(), {n / 3}));
    c.start(exec, Flat(cut.data() + n / 3, {n - n / 3}));
    c.finish(exec);
    EXPECT_EQ(whole, expected);
    EXPECT_EQ(cut, expected);
  }
}

TEST(MpiCommunicator, InAnyOrder_ComesNear) {
  MpiCommunicator& c = ranks(false);
  std::vector<double> x = {double(c.rank()), 1, 0.1};
  c.start(Ctx::Space(), Tensor<double, 1, Kokkos::HostSpace>(x.data(), {3}));
  c.finish(Ctx::Space());
  EXPECT_EQ(x[0], c.size() * (c.size() - 1) / 2);
  EXPECT_EQ(x[1], c.size());
  EXPECT_NEAR(x[2], 0.1 * c.size(), 1e-15);
}

TEST(MpiCommunicator, SaysWhatTheOrderCosts) {
  std::vector<float> x(5428000);  // as many as a ViT-Ti has parameters, 21.7 MB
  double medians[2] = {};
  for (bool const ordered : {true, false}) {
    MpiCommunicator& c = ranks(ordered);
    std::vector<double> seconds;
    for (int i = 0; i < 5; ++i) {
      c.barrier();
      auto const begun = std::chrono::steady_clock::now();
      c.start(Ctx::Space(), Flat(x.data(), {Index(x.size())}));
      c.finish(Ctx::Space());
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    }
    std::sort(seconds.begin(), seconds.end());
    medians[ordered] = seconds[2];
  }
  if (ranks().rank() == 0) {
    std::printf("%d ranks add 21.7 MB in %.1f ms in their order, in %.1f ms in any\n", ranks().size(), 1e3 * medians[1],
                1e3 * medians[0]);
  }
}

TEST(MpiCommunicator, GathersSlicesRecordsAndNumbers) {
  MpiCommunicator& c = ranks();
  std::vector<float> all(100, -1);
  Stretch const own = stretch_of(100, c.rank(), c.size());
  for (Index i = own.first; i < own.last; ++i) all[std::size_t(i)] = float(i);
  c.gather_slices(Ctx::Space(), Flat(all.data(), {100}));
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], float(i));

  auto const records = c.gather(std::string(std::size_t(c.rank()), 'x'));
  ASSERT_EQ(int(records.size()), c.size());
  for (std::size_t r = 0; r < records.size(); ++r) EXPECT_EQ(records[r], std::string(r, 'x'));

  std::vector<double> numbers = {1, double(c.rank())};
  c.sum(numbers);
  EXPECT_EQ(numbers, (std::vector<double>{double(c.size()), double(c.size() * (c.size() - 1) / 2)}));
  c.barrier();
}

TEST(MpiCommunicator, AfterAnError_RefusesInOneSentence) {
  if (ranks().size() == 1) GTEST_SKIP() << "nobody to wait for";
  MpiCommunicator c(MpiOptions{.patience = 0.2});
  auto const message = [&] {
    try {
      c.barrier();
    } catch (Error const& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  if (c.rank() > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    c.barrier();
  } else {
    EXPECT_NE(message().find("waiting for the others failed: another rank has not answered for 0 s"),
              std::string::npos);
    EXPECT_NE(message().find("end this run, for rank 0 of"), std::string::npos);
  }
  ranks().barrier();
}

TEST(Stretches, CoverAll_AndBeginAtGranules) {
  for (Index const extent : {0, 1, 15, 16, 17, 160, 1001}) {
    for (int const size : {1, 2, 3, 7, 100}) {
      Index end = 0;
      for (int r = 0; r < size; ++r) {
        Stretch const s = stretch_of(extent, r, size);
        EXPECT_EQ(s.first, end);
        EXPECT_TRUE(s.first % 16 == 0 || s.first == extent);
        end = s.last;
      }
      EXPECT_EQ(end, extent);
    }
  }
}

/// Parameters of some blocks, and passes that ask for their gradients as modules do: from the last to the first.
struct Passes {
  Ctx ctx{1};
  std::vector<nn::Parameter<1>> parameters;
  bool one_is_late = false;  // block 2 keeps its pointer and writes when block 1 is done

  Passes() {
    nn::Builder const root = ctx;
    parameters.push_back(root.add<1>("cls_token", {20}, nn::zeros()));
    for (Index b = 0; b < 4; ++b) {
      parameters.push_back((root / "blocks" / b / "attn").add<1>("weight", {70 + b}, nn::zeros()));
      parameters.push_back((root / "blocks" / b / "mlp").add<1>("weight", {33}, nn::zeros()));
    }
    parameters.push_back((root / "head").add<1>("weight", {9}, nn::zeros()));
  }

  void backward(int rank, int step) {
    ctx.parameters.zero_gradients(ctx.exec);
    auto const write = [&](std::size_t p, float* to) {
      for (Index i = 0; i < parameters[p].shape[0]; ++i) to[i] += number(rank, Index(p) * 1000 + i) + float(step);
    };
    float* late = nullptr;
    for (std::size_t p = parameters.size(); p-- > 0;) {
      float* const to = ctx.parameters.gradient(parameters[p]).data();
      if (one_is_late && p == 5) {
        late = to;
        continue;
      }
      write(p, to);
      if (p == 3 && late != nullptr) write(5, late);
    }
  }
};

TEST(GradientSum, IsTheMean_AndBeginsBeforeTheEndOfThePass) {
  for (bool const late : {false, true}) {
    MpiCommunicator& c = ranks();
    Passes passes;
    passes.one_is_late = late;
    detail::GradientSum<Ctx, MpiCommunicator> sum(c, 4 * 100, 1.0 / c.size());
    for (int step = 0; step < 5; ++step) {
      sum.begin(passes.ctx);
      passes.backward(c.rank(), step);
      sum.end(passes.ctx);
      for (std::size_t p = 0; p < passes.parameters.size(); ++p) {
        float const* const mean = passes.ctx.parameters.gradient(passes.parameters[p]).data();
        for (Index i = 0; i < passes.parameters[p].shape[0]; ++i) {
          float expected = 0;
          for (int r = 0; r < c.size(); ++r) {
            float const volatile share = (number(r, Index(p) * 1000 + i) + float(step)) * float(1.0 / c.size());
            expected += share;
          }
          ASSERT_EQ(mean[i], expected) << "step " << step << ", parameter " << p << ", element " << i;
        }
      }
    }
    auto const& buckets = sum.plan().buckets;
    ASSERT_EQ(buckets.size(), 5u);  // head and block 3; 2; 1; 0; the token
    auto const early =
        std::ranges::count_if(buckets, [](auto const& b) { return b.final_at != detail::BucketPlan::never; });
    EXPECT_EQ(early, late ? 2 : 3);
  }
}

TEST(GradientSum, AChangeAfterTheLastWord_IsAnError) {
  MpiCommunicator& c = ranks();
  Passes passes;
  detail::GradientSum<Ctx, MpiCommunicator> sum(c, 4 * 100, 1.0);
  for (int step = 0; step < 3; ++step) {
    sum.begin(passes.ctx);
    passes.backward(c.rank(), step);
    if (step == 2) {
      EXPECT_THROW(passes.ctx.parameters.gradient(passes.parameters.back()), Error);
    }
    sum.end(passes.ctx);
  }
}

TEST(BucketPlan, NamesBlocksByTheirLastNumber) {
  EXPECT_EQ(detail::block_of("blocks.11.attn.qkv.weight"), "blocks.11");
  EXPECT_EQ(detail::block_of("layers.0.blocks.1.attn.qkv.weight"), "layers.0.blocks.1");
  EXPECT_EQ(detail::block_of("norm.weight"), "norm");
  EXPECT_EQ(detail::block_of("cls_token"), "");
  EXPECT_TRUE(detail::related("blocks.1", "blocks.1"));
  EXPECT_TRUE(detail::related("layers.0", "layers.0.blocks.1"));
  EXPECT_TRUE(detail::related("", "head"));
  EXPECT_FALSE(detail::related("blocks.1", "blocks.11"));
}

TEST(SharedStep, OfAShardedOptimizer_HasTheBitsOfAWholeOne) {
  MpiCommunicator& c = ranks();
  std::vector<float> values[2], moments[2];
  for (bool const shards : {false, true}) {
    Passes passes;
    Ctx& ctx = passes.ctx;
    ctx.parameters.set("blocks.1.*", {.decays = true, .learning_rate_factor = 0.5});
    ctx.parameters.set("head.*", {.trained = false});
    optim::AdamW adamw(ctx, {.learning_rate = 0.1, .weight_decay = 0.1});
    detail::SharedStep<Ctx, decltype(adamw), MpiCommunicator> step(ctx, adamw, c, {.shard_optimizer = shards}, 1, 1);
    CheckpointParts<Ctx> const parts = {{"optimizer", step.state()}};
    for (int i = 0; i < 3; ++i) {
      passes.backward(0, i);
      step.step_optimizer();
    }
    step.before_save();
    values[shards] = host_copy(ctx.parameters.values());
    moments[shards] = host_copy(parts[0].state.arrays[1].values);
    EXPECT_EQ(parts[0].state.steps.get(), 3u);
  }
  EXPECT_EQ(values[0], values[1]);
  EXPECT_EQ(moments[0], moments[1]);
}

std::string disagreement(io::Json const& mine) {
  try {
    check_agreement(ranks(), mine);
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

TEST(Agreement, NamesTheFirstRankAndFieldThatDiffer) {
  int const rank = ranks().rank();
  Ctx ctx(1), other(std::uint64_t(rank + 1));
  for (Ctx* const model : {&ctx, &other}) {
    static_cast<void>(nn::Builder(*model).add<1>("weight", {5}, nn::normal(1)));
  }
  EXPECT_EQ(disagreement(identity_of(ctx, {{"lr", 1}}, {{"images", 7}})), "");
  if (ranks().size() == 1) return;
  std::string const settings = disagreement(identity_of(ctx, {{"lr", rank < 1 ? 1 : 2}}, {}));
  EXPECT_NE(settings.find("rank 1 on "), std::string::npos) << settings;
  EXPECT_NE(settings.find("has another settings than rank 0"), std::string::npos) << settings;
  EXPECT_NE(settings.find(": lr 2, not 1"), std::string::npos) << settings;
  EXPECT_NE(disagreement(identity_of(other, {}, {})).find("another model"), std::string::npos);
  EXPECT_NE(disagreement(identity_of(ctx, {}, {{"images", rank}})).find("images 1, not 0"), std::string::npos);
}

TEST(Agreement, ADiskThatIsNotShared_IsNoticed) {
  io::Path const here =
      std::filesystem::temp_directory_path() / ranks().gather("attn_shared_" + std::to_string(::getpid()))[0];
  std::filesystem::create_directories(here);
  EXPECT_NO_THROW(check_shared_disk(ranks(), here));
  io::Path const elsewhere = ranks().rank() == 1 ? here / "elsewhere" : here;
  if (ranks().size() > 1) {
    try {
      check_shared_disk(ranks(), elsewhere, 0.1);
      ADD_FAILURE() << "nothing was noticed";
    } catch (Error const& error) {
      EXPECT_NE(std::string(error.what()).find("does not see what rank 0 writes"), std::string::npos) << error.what();
    }
  }
  ranks().barrier();
  if (ranks().rank() == 0) std::filesystem::remove_all(here);
}

/// A row of the table in docs/cluster.md: the least batch for 90 % on 8, 64 and 512 GPUs of 100 TFLOP/s.
std::string row_of_table(std::string const& name, double parameters, double gigamacs) {
  std::string row = "| " + name + " |";
  for (double const bandwidth : {12.5e9, 25e9, 50e9, 400e9}) {
    std::string cell;
    for (int const gpus : {8, 64, 512}) {
      double const batch =
          least_batch({.parameters = parameters}, 6 * gigamacs * 1e9 / 100e12, {.ranks = gpus, .bandwidth = bandwidth});
      cell += (cell.empty() ? " " : ", ") + std::to_string(int(batch));
    }
    row += cell + " |";
  }
  return row;
}

TEST(CostModel, HasTheTableOfTheDocumentation) {
  io::MappedFile const page(io::Path(ATTN_GOLDEN_DIR) / "../../docs/cluster.md");
  for (std::string const& row : {row_of_table("ViT-B/16", 86567656, 17.58), row_of_table("Swin-B", 87768224, 15.47),
                                 row_of_table("XCiT-M24/16", 84395752, 16.19)}) {
    EXPECT_NE(page.text().find(row), std::string::npos) << row;
  }
}

TEST(CostModel, CountsBytesAndHidesWhatItCan) {
  StepWork const work{.parameters = 1e6, .seconds = 0.1, .bucket = 1e6};  // 4 buckets
  SharingCost const slow = cost_of_sharing(work, {.ranks = 2, .bandwidth = 2e7, .latency = 0});
  EXPECT_EQ(slow.bytes, 4e6);
  EXPECT_DOUBLE_EQ(slow.summing, 0.2);
  EXPECT_DOUBLE_EQ(slow.visible, 0.2 - 0.1 * 2 / 3 * 3 / 4);
  SharingCost const fast = cost_of_sharing(work, {.ranks = 2, .bandwidth = 4e8, .latency = 0});
  EXPECT_DOUBLE_EQ(fast.visible, 0.01 / 4);  // the last bucket
  EXPECT_DOUBLE_EQ(fast.efficiency, 0.1 / 0.1025);
  EXPECT_EQ(cost_of_sharing(work, {.ranks = 1, .bandwidth = 1}).efficiency, 1);
  EXPECT_THROW(cost_of_sharing(work, {.ranks = 2}), Error);
}

/// Seconds of a step whose backward pass sleeps for 20 ms in each of 8 blocks of half a megabyte, over a network of 33
/// MB/s: the median of some.
double seconds_of_step(double bucket) {
  MpiCommunicator slow(MpiOptions{.bandwidth = 33e6});
  Ctx ctx(1);
  std::vector<nn::Parameter<1>> blocks;
  for (Index b = 0; b < 8; ++b) {
    blocks.push_back((nn::Builder(ctx) / "blocks" / b).add<1>("weight", {131072}, nn::zeros()));
  }
  detail::GradientSum<Ctx, MpiCommunicator> sum(slow, bucket, 1);
  std::vector<double> seconds;
  for (int step = 0; step < 9; ++step) {
    slow.barrier();
    auto const begun = std::chrono::steady_clock::now();
    sum.begin(ctx);
    for (std::size_t b = blocks.size(); b-- > 0;) {
      ctx.parameters.gradient(blocks[b]).data()[0] = 1;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    sum.end(ctx);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  }
  std::sort(seconds.begin() + 2, seconds.end());  // the first two learn
  return seconds[5];
}

TEST(CostModel, IsWhatASimulatedNetworkTakes) {
  if (ranks().size() == 1) GTEST_SKIP() << "nothing to send";
  double const bytes = 4.0 * 131072;
  StepWork const work{.parameters = 8 * 131072, .seconds = 0.16, .backward = 1, .bucket = bytes};
  SharingCost const cost = cost_of_sharing(work, {.ranks = ranks().size(), .bandwidth = 33e6, .latency = 0});
  double const hidden = seconds_of_step(bytes), shown = seconds_of_step(0);
  if (ranks().rank() == 0)
    std::printf("%d ranks, seconds beside 0.160 of work: %.3f, model %.3f; at the end %.3f, model %.3f\n",
                ranks().size(), hidden - 0.16, cost.visible, shown - 0.16, cost.summing);
  EXPECT_GT(hidden - 0.16, 0.9 * cost.visible);
  EXPECT_GT(shown - 0.16, 0.9 * cost.summing);
  EXPECT_LT(hidden, shown);
}

TEST(RankTrace, HasTheSpansOfAllRanks) {
  io::Path const file = std::filesystem::temp_directory_path() /
                        (ranks().gather("attn_trace_" + std::to_string(::getpid()))[0] + ".json");
  RankTrace<MpiCommunicator> trace(ranks(), file);
  trace.begin();
  {
    auto const span = trace.span("work");
    std::vector<float> x(100, 1);
    ranks().start(Ctx::Space(), Flat(x.data(), {100}));
    ranks().finish(Ctx::Space());
  }
  trace.end();
  ranks().barrier();
  io::Json const all = io::Json::parse(io::MappedFile(file).text());
  int work = 0, sums = 0;
  for (io::Json const& event : all.at("traceEvents")) {
    work += event["name"] == "work";
    sums += event["name"] == "sum" && event["tid"] == 1 && event["args"]["bytes"] > 0;
  }
  EXPECT_EQ(work, ranks().size());
  EXPECT_EQ(sums, ranks().size() > 1 ? ranks().size() : 0);
  ranks().barrier();
  if (ranks().rank() == 0) std::filesystem::remove(file);
}

}  // namespace
}  // namespace attn::train
