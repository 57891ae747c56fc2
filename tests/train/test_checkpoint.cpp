#include "attn/optim/adamw.hpp"
#include "attn/optim/ema.hpp"
#include "attn/train/checkpoint.hpp"

#include "train/toy_task.hpp"

namespace {

using namespace attn;
using namespace attn::train;
using toy::Ctx;
using toy::Folder;

struct Model {
  Ctx ctx{9};
  toy::Task task{ctx};
  optim::AdamW<float, Ctx::MemorySpace> adamw{ctx};
  CheckpointParts<Ctx> parts{{"optimizer", adamw.state(ctx)}};

  std::vector<float> weight() { return ctx.parameters.host_values(ctx.parameters.entry("head.weight")); }
  void step() {
    Kokkos::deep_copy(ctx.parameters.gradients().view(), 0.5f);
    adamw.step(ctx);
    ctx.exec.fence();
  }
};

template <class Function>
std::string message_of(Function const& function) {
  try {
    function();
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

TEST(Checkpoint, RestoredIntoAnotherModel_ContinuesToTheSameBits) {
  Folder const folder("checkpoint");
  Model first;
  first.step();
  first.step();
  save_checkpoint(folder.path / "c.safetensors", first.ctx, first.parts, {{"epoch", 3}});
  first.step();

  Model second;
  second.step();
  io::Json const record = load_checkpoint(folder.path / "c.safetensors", second.ctx, second.parts);
  EXPECT_EQ(record, (io::Json{{"epoch", 3}}));
  second.step();
  EXPECT_EQ(second.weight(), first.weight());
  EXPECT_EQ(second.parts[0].state.steps.get(), 3u);
  EXPECT_EQ(read_checkpoint_record(folder.path / "c.safetensors"), record);
}

TEST(Checkpoint, HoldsBuffersAndTheirAverages) {
  Folder const folder("checkpoint_buffers");
  auto const variance = [](Model& m, float value) {
    std::vector<float> const all(toy::Task::outputs, value);
    m.ctx.parameters.assign(m.ctx.parameters.buffer_entry("norm.running_var"), std::span<float const>(all));
  };
  Model first, second;
  optim::Ema a(first.ctx, {.decay = 0.75, .start = optim::EmaOptions::Start::average});
  optim::Ema b(second.ctx, {.decay = 0.75, .start = optim::EmaOptions::Start::average});
  variance(first, 5);
  a.update(first.ctx);
  save_checkpoint(folder.path / "c.safetensors", first.ctx, {{"average", a.state(first.ctx)}}, {});
  load_checkpoint(folder.path / "c.safetensors", second.ctx, {{"average", b.state(second.ctx)}});
  auto const now = [&] {
    second.ctx.exec.fence();
    return second.ctx.parameters.host_values(second.ctx.parameters.buffer_entry("norm.running_var"))[6];
  };
  EXPECT_EQ(now(), 5);
  auto const scope = b.averaged(second.ctx);
  EXPECT_EQ(now(), 2);
}

TEST(Checkpoint, OfAnotherModel_IsRefusedAndChangesNothing) {
  Folder const folder("checkpoint_other");
  Model model;
  Ctx other(1);
  nn::Builder(other).add<2>("head.weight", {toy::Task::outputs, toy::Task::inputs + 1}, nn::zeros());
  optim::AdamW adamw(other);
  save_checkpoint(folder.path / "c.safetensors", other, {{"optimizer", adamw.state(other)}}, {});
  auto const before = model.weight();
  std::string const message =
      message_of([&] { load_checkpoint(folder.path / "c.safetensors", model.ctx, model.parts); });
  EXPECT_NE(message.find("head.weight"), std::string::npos) << message;
  EXPECT_EQ(model.weight(), before);
}

TEST(Checkpoint, WithMoreOrFewerParts_IsRefused) {
  Folder const folder("checkpoint_parts");
  Model model;
  save_checkpoint(folder.path / "c.safetensors", model.ctx, {}, {});
  EXPECT_THROW(load_checkpoint(folder.path / "c.safetensors", model.ctx, model.parts), Error);
  save_checkpoint(folder.path / "c.safetensors", model.ctx, model.parts, {});
  EXPECT_NE(message_of([&] {
              load_checkpoint(folder.path / "c.safetensors", model.ctx, CheckpointParts<Ctx>{});
            }).find("optimizer/first_moment/head.bias"),
            std::string::npos);
}

TEST(Checkpoint, PlainWeights_AreNoCheckpoint) {
  Folder const folder("checkpoint_plain");
  Model model;
  save_weights(folder.path / "w.safetensors", model.ctx);
  EXPECT_NE(message_of([&] { read_checkpoint_record(folder.path / "w.safetensors"); }).find("no checkpoint"),
            std::string::npos);
}

TEST(Checkpoint, IsNoPlainWeights) {
  Folder const folder("checkpoint_as_weights");
  Model model;
  save_checkpoint(folder.path / "c.safetensors", model.ctx, model.parts, {});
  EXPECT_NE(
      message_of([&] { load_weights(folder.path / "c.safetensors", model.ctx); }).find("is the checkpoint of a run"),
      std::string::npos);
}

TEST(Checkpoint, ThatCannotBeWritten_LeavesTheOneBefore) {
  Folder const folder("checkpoint_nan");
  Model model;
  io::Path const path = folder.path / "c.safetensors";
  save_checkpoint(path, model.ctx, model.parts, {{"step", 1}});
  auto const before = toy::bytes_of(path);
  std::vector<float> const infinite(toy::Task::outputs, std::numeric_limits<float>::infinity());
  model.ctx.parameters.assign(model.ctx.parameters.entry("head.bias"), std::span<float const>(infinite));
  std::string const message = message_of([&] { save_checkpoint(path, model.ctx, model.parts, {{"step", 2}}); });
  EXPECT_NE(message.find("head.bias"), std::string::npos) << message;
  EXPECT_EQ(toy::bytes_of(path), before);
  EXPECT_THROW(save_checkpoint(path / "below_a_file", model.ctx, model.parts, {}), Error);
}

TEST(Checkpoint, OfWhichABitChanged_IsRefusedAndChangesNothing) {
  Folder const folder("checkpoint_bits");
  io::Path const path = folder.path / "c.safetensors";
  Model model;
  model.step();
  save_checkpoint(path, model.ctx, model.parts, {{"step", 12}});
  std::string const whole = toy::bytes_of(path);
  model.step();
  auto const before = model.weight();
  std::size_t const data = whole.size() - 3 * 35 * sizeof(float);  // bits of the elements, and the digits of the record
  for (std::size_t const at : {data, data + 201, whole.size() - 1, whole.find("step\\\":12") + 8}) {
    for (int const bit : {0, 2}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      io::write_file(path, damaged);
      std::string const message = message_of([&] { load_checkpoint(path, model.ctx, model.parts); });
      EXPECT_NE(message.find("was damaged since it was written"), std::string::npos) << at << ": " << message;
      EXPECT_THROW(read_checkpoint_record(path), Error);
    }
  }
  EXPECT_EQ(model.weight(), before);
}

TEST(Checkpoint, EverythingThatDoesNotFit_IsNamed) {
  Folder const folder("checkpoint_all");
  Model model;
  Ctx other(1);
  nn::Builder(other).add<2>("head.weight", {toy::Task::outputs, toy::Task::inputs + 1}, nn::zeros());
  nn::Builder(other).add<1>("tail.bias", {3}, nn::zeros());
  save_checkpoint(folder.path / "c.safetensors", other, {}, {});
  std::string const message =
      message_of([&] { load_checkpoint(folder.path / "c.safetensors", model.ctx, model.parts); });
  for (char const* const part :
       {"model/head.bias", "model/norm.running_var", "optimizer/second_moment/head.weight", "model/tail.bias",
        "model/head.weight is (7, 6), not (7, 5)", "continue with the settings of the first run"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << ": " << message;
  }
}

}  // namespace
