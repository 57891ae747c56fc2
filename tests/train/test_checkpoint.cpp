#include "attn/optim/adamw.hpp"
#include "attn/optim/ema.hpp"
#include "attn/train/checkpoint.hpp"

#include "train/toy_task.hpp"

namespace attn::train {
namespace {

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
  EXPECT_EQ(*second.parts[0].state.steps, 3u);
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
            }).find("tensors"),
            std::string::npos);
}

TEST(Checkpoint, PlainWeights_AreNoCheckpoint) {
  Folder const folder("checkpoint_plain");
  Model model;
  save_weights(folder.path / "w.safetensors", model.ctx);
  EXPECT_NE(message_of([&] { read_checkpoint_record(folder.path / "w.safetensors"); }).find("no checkpoint"),
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

TEST(Weights, SavedAndLoaded_AreTheSame) {
  Folder const folder("weights");
  Model model;
  save_weights(folder.path / "w.safetensors", model.ctx, {{"model", "toy"}});
  Model other;
  other.step();
  Kokkos::deep_copy(other.ctx.parameters.buffers().view(), 7.0f);
  EXPECT_NE(other.weight(), model.weight());
  load_weights(folder.path / "w.safetensors", other.ctx);
  EXPECT_EQ(other.weight(), model.weight());
  EXPECT_EQ(other.ctx.parameters.host_values(other.ctx.parameters.buffer_entry("norm.running_var"))[6], 1.0f);
  EXPECT_EQ(io::Safetensors(folder.path / "w.safetensors").metadata().at("model"), "toy");
}

TEST(Weights, WithTensorsThatTheModelLacks_AreRefused) {
  Folder const folder("weights_more");
  Model model;
  nn::Builder(model.ctx).add<1>("head_dist.bias", {3}, nn::zeros());
  save_weights(folder.path / "w.safetensors", model.ctx);
  Model other;
  auto const before = other.weight();
  std::string const message = message_of([&] { load_weights(folder.path / "w.safetensors", other.ctx); });
  EXPECT_NE(message.find("head_dist.bias"), std::string::npos) << message;
  EXPECT_EQ(other.weight(), before);
}

TEST(Weights, OfAnotherShapeTypeOrName_AreRefusedByName) {
  Folder const folder("weights_wrong");
  io::Path const path = folder.path / "w.safetensors";
  Model model;
  std::vector<float> const weight(35, 1.0f), bias(7, 2.0f);
  std::vector<std::int32_t> const integers(7, 2);
  std::vector<double> const doubles(7, 2.5);
  auto const load = [&](auto const& write) {
    io::SafetensorsWriter file;
    write(file);
    file.write(path);
    return message_of([&] { load_weights(path, model.ctx); });
  };
  EXPECT_NE(load([&](auto& file) {
              file.add("head.weight", {5, 7}, weight.data());
              file.add("head.bias", {7}, bias.data());
            }).find("(5, 7)"),
            std::string::npos);
  EXPECT_NE(load([&](auto& file) {
              file.add("head.weight", {7, 5}, weight.data());
              file.add("head.bias", {7}, integers.data());
            }).find("head.bias"),
            std::string::npos);
  EXPECT_NE(load([&](auto& file) {
              file.add("head.weigth", {7, 5}, weight.data());
              file.add("head.bias", {7}, bias.data());
            }).find("head.weigth"),
            std::string::npos);
  EXPECT_EQ(load([&](auto& file) {
              file.add("head.weight", {7, 5}, weight.data());
              file.add("head.bias", {7}, doubles.data());
              file.add("norm.running_var", {7}, bias.data());
            }),
            "");
  EXPECT_EQ(model.ctx.parameters.host_values(model.ctx.parameters.entry("head.bias"))[6], 2.5f);
}

}  // namespace
}  // namespace attn::train
