#include "attn/io/npy.hpp"
#include "attn/nn/token_embedding.hpp"
#include "attn/train/weights.hpp"

#include "train/toy_task.hpp"

namespace {

using namespace attn;
using namespace attn::train;
using toy::Ctx;
using toy::Folder;

struct Model {
  Ctx ctx{9};
  toy::Task task{ctx};

  std::vector<float> weight() { return ctx.parameters.host_values(ctx.parameters.entry("head.weight")); }
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

/// A file of one tensor.
void write(io::Path const& path, std::string const& name, io::Shape const& shape, std::vector<float> const& values) {
  io::SafetensorsWriter file;
  file.add(name, shape, values.data());
  file.write(path);
}

TEST(Weights, SavedAndLoaded_AreTheSame) {
  Folder const folder("weights");
  Model model;
  save_weights(folder.path / "w.safetensors", model.ctx, {{"model", "toy"}});
  Model other;
  Kokkos::deep_copy(other.ctx.parameters.values().view(), 0.5f);
  Kokkos::deep_copy(other.ctx.parameters.buffers().view(), 7.0f);
  EXPECT_NE(other.weight(), model.weight());
  load_weights(folder.path / "w.safetensors", other.ctx);
  EXPECT_EQ(other.weight(), model.weight());
  EXPECT_EQ(other.ctx.parameters.host_values(other.ctx.parameters.buffer_entry("norm.running_var"))[6], 1.0f);
  EXPECT_EQ(io::Safetensors(folder.path / "w.safetensors").metadata().at("model"), "toy");
}

TEST(Weights, OfAnOutputLayerTiedToItsEmbedding_AreInTheFileOnce) {
  toy::Folder const folder("weights_tied");
  toy::Ctx ctx;
  nn::TokenEmbedding const tokens(ctx / "tokens", {.vocabulary = 5, .width = 3});
  EXPECT_EQ(tokens.output_layer().outputs(), 5);
  save_weights(folder.path / "w.safetensors", ctx);
  EXPECT_EQ(io::Safetensors(folder.path / "w.safetensors").tensors().size(), 1);
  EXPECT_EQ(load_weights(folder.path / "w.safetensors", ctx).missing.size(), 0);
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

TEST(Weights, ThatAreNotFinite_AreRefusedByName) {
  Folder const folder("weights_nan");
  io::Path const path = folder.path / "w.safetensors";
  Model model;
  auto const before = model.weight();
  for (std::string const bad : {"head.bias", "norm.running_var"}) {
    std::vector<float> weight(35, 1.0f), bias(7, 2.0f), variance(7, 1.0f);
    (bad == "head.bias" ? bias : variance)[3] = std::nanf("");
    io::SafetensorsWriter file;
    file.add("head.weight", {7, 5}, weight.data());
    file.add("head.bias", {7}, bias.data());
    file.add("norm.running_var", {7}, variance.data());
    file.write(path);
    std::string const message = message_of([&] { load_weights(path, model.ctx); });
    EXPECT_NE(message.find("w.safetensors': " + bad + " holds nan"), std::string::npos) << message;
    EXPECT_EQ(model.weight(), before);
  }
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

TEST(Weights, WhatDoesNotFit_IsNamedAtOnce) {
  Folder const folder("weights_all");
  io::Path const path = folder.path / "w.safetensors";
  Model model;
  std::vector<float> const numbers(42, 1.0f);
  std::vector<std::int32_t> const integers(7, 1);
  io::SafetensorsWriter file;
  file.add("head.weight", {7, 6}, numbers.data());
  file.add("norm.running_var", {7}, integers.data());
  file.add("a", {1}, numbers.data());
  file.add("b", {1}, numbers.data());
  file.write(path);
  EXPECT_EQ(
      message_of([&] { load_weights(path, model.ctx); }),
      "load_weights: '" + path.string() +
          "' does not fit this model: it lacks head.bias; it holds what has no place here: a, b; head.weight is (7, "
          "6), not (7, 5), norm.running_var is of type I32; choose the model that the weights belong to");
}

TEST(LoadReport, OfManyNames_TellsTheFirstAndHowManyMore) {
  LoadReport report;
  for (int i = 0; i < 9; ++i) report.missing.push_back("m" + std::to_string(i));
  EXPECT_EQ(report.faults(), "it lacks m0, m1, m2, m3, m4, m5, m6, m7, m8") << "no shorter with a number";
  report.missing.push_back("m9");
  report.misshapen = {"a is (1), not (2)"};
  EXPECT_EQ(report.faults(), "it lacks m0, m1, m2, m3, m4, m5, m6, m7 and 2 more; a is (1), not (2)");
  EXPECT_EQ(report.sentences().at(0),
            "the file lacks m0, m1, m2, m3, m4, m5, m6, m7 and 2 more, which stay as they were");
}

TEST(Weights, WithoutStrictness_WhatFitsIsReadAndTheRestIsReported) {
  Folder const folder("weights_loose");
  io::Path const path = folder.path / "w.safetensors";
  Model model;
  io::SafetensorsWriter file;
  std::vector<float> const numbers(7, 3.0f);
  std::vector<std::int64_t> const count = {12};
  file.add("head.bias", {7}, numbers.data());
  file.add("tail.bias", {7}, numbers.data());
  file.add("norm.num_batches_tracked", {}, count.data());
  file.write(path);
  auto const before = model.weight();
  LoadReport const report = load_weights(path, model.ctx, {.strict = false});
  EXPECT_EQ(report.missing, (std::vector<std::string>{"head.weight", "norm.running_var"}));
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"tail.bias"});
  EXPECT_EQ(report.ignored, std::vector<std::string>{"norm.num_batches_tracked"});
  EXPECT_FALSE(report.fits());
  EXPECT_EQ(report.sentences().size(), 3u);
  EXPECT_EQ(model.weight(), before);
  EXPECT_EQ(model.ctx.parameters.host_values(model.ctx.parameters.entry("head.bias"))[6], 3.0f);
}

TEST(Weights, WhoseCountersAreWholeNumbers_AreRead) {
  Folder const folder("weights_counters");
  io::Path const path = folder.path / "w.safetensors";
  Ctx ctx;
  nn::Builder(ctx).add_buffer<0>("norm.num_batches_tracked", {}, nn::zeros());
  std::int64_t const count = 12;
  io::SafetensorsWriter file;
  file.add("norm.num_batches_tracked", {}, &count);
  file.write(path);
  EXPECT_TRUE(load_weights(path, ctx).fits());
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.buffer_entry("norm.num_batches_tracked"))[0], 12.0f);
}

TEST(Weights, OfWhichABitChanged_AreRefused_AndThoseWithoutAChecksumAreNot) {
  Folder const folder("weights_bits");
  io::Path const path = folder.path / "w.safetensors";
  Model model;
  save_weights(path, model.ctx, {{"model", "toy"}});
  std::string const whole = toy::bytes_of(path);
  for (std::size_t const at : {whole.size() - 1, whole.size() - 100, whole.find("\"toy\"") + 2}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    io::write_file(path, damaged);
    std::string const message = message_of([&] { load_weights(path, model.ctx); });
    EXPECT_NE(message.find("was damaged since it was written: its checksum is crc32:"), std::string::npos) << message;
  }
  io::write_file(path, whole);
  io::Safetensors const good(path);
  io::SafetensorsWriter foreign;
  std::vector<io::Array> arrays;
  for (auto const& [name, _] : good.tensors()) arrays.push_back(good.array(name));
  std::size_t i = 0;
  for (auto const& [name, _] : good.tensors()) foreign.add(name, arrays[i++]);
  foreign.write(path);
  EXPECT_EQ(message_of([&] { load_weights(path, model.ctx); }), "");
}

/// A model that has positions alone.
struct Positions {
  Ctx ctx;

  Positions(Index height, Index width, Index prefix, Index channels = 5) {
    nn::Builder(ctx).add<3>("pos_embed", {1, prefix + height * width, channels}, nn::ones(),
                            {.adapts = nn::PositionGrid{height, width, prefix}});
  }
  std::vector<float> values() { return ctx.parameters.host_values(ctx.parameters.entry("pos_embed")); }
};

TEST(Adapt, PositionsOfAnotherGrid_AreInterpolatedAsByTimm) {
  struct Case {
    std::string name;
    Index height, width, prefix;
    std::optional<std::pair<Index, Index>> said = {};
  };
  Folder const folder("weights_positions");
  io::Path const path = folder.path / "w.safetensors";
  io::Safetensors const golden(std::string(ATTN_GOLDEN_DIR) + "/weights/positions.safetensors");
  for (Case const& c :
       {Case{"larger", 5, 4, 1}, Case{"smaller", 3, 3, 1}, Case{"one", 1, 1, 1},
        Case{"oblong", 3, 3, 1, std::pair<Index, Index>(2, 6)}, Case{"mean", 7, 2, 0}, Case{"distilled", 2, 6, 2}}) {
    Positions model(c.height, c.width, c.prefix);
    write(path, "pos_embed", golden.entry(c.name + ".from").shape, golden.array(c.name + ".from").as<float>());
    EXPECT_NE(message_of([&] { load_weights(path, model.ctx); }), "") << c.name;
    LoadReport const report = load_weights(path, model.ctx, {.adapt = true, .position_grid = c.said});
    EXPECT_TRUE(report.fits());
    ASSERT_EQ(report.adapted.size(), 1u) << c.name;
    auto const wanted = golden.array(c.name + ".to").as<float>();
    auto const got = model.values();
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 4e-6) << c.name << " " << i;
  }
}

TEST(Adapt, TokensInFrontOfThePositions_AreKeptDroppedOrGivenNone) {
  Folder const folder("weights_prefix");
  io::Path const path = folder.path / "w.safetensors";
  std::vector<float> file(6);
  for (std::size_t i = 0; i < file.size(); ++i) file[i] = float(i + 1);
  Positions one(2, 2, 1, 1);
  write(path, "pos_embed", {1, 6, 1}, file);  // class token, distillation token, 2 x 2
  EXPECT_EQ(load_weights(path, one.ctx, {.adapt = true}).adapted,
            std::vector<std::string>{"pos_embed was interpolated from 2 x 2 positions to 2 x 2, behind 1 class tokens "
                                     "instead of 2"});
  EXPECT_EQ(one.values(), (std::vector<float>{1, 3, 4, 5, 6}));
  write(path, "pos_embed", {1, 4, 1}, file);  // none
  load_weights(path, one.ctx, {.adapt = true});
  EXPECT_EQ(one.values(), (std::vector<float>{0, 1, 2, 3, 4}));
  Positions none(2, 2, 0, 1);
  write(path, "pos_embed", {1, 5, 1}, file);
  load_weights(path, none.ctx, {.adapt = true});
  EXPECT_EQ(none.values(), (std::vector<float>{2, 3, 4, 5}));
}

TEST(Adapt, PositionsThatAreNoGrid_StayMisshapen) {
  Folder const folder("weights_no_grid");
  io::Path const path = folder.path / "w.safetensors";
  Positions model(3, 3, 1, 1);
  write(path, "pos_embed", {1, 8, 1}, std::vector<float>(8));
  EXPECT_NE(message_of([&] { load_weights(path, model.ctx, {.adapt = true}); }).find("(1, 8, 1), not (1, 10, 1)"),
            std::string::npos);
  EXPECT_NE(message_of([&] {
              load_weights(path, model.ctx, {.adapt = true, .position_grid = std::pair<Index, Index>(3, 3)});
            }).find("pos_embed"),
            std::string::npos);
  write(path, "pos_embed", {1, 8, 2}, std::vector<float>(16));
  EXPECT_NE(message_of([&] { load_weights(path, model.ctx, {.adapt = true}); }), "");
  EXPECT_EQ(model.values(), std::vector<float>(10, 1.0f));
}

TEST(Adapt, RelativePositionsOfAnotherWindow_AreInterpolatedAsByTimm) {
  Folder const folder("weights_windows");
  io::Path const path = folder.path / "w.safetensors";
  auto const golden = [](std::string const& name) {
    return io::read_npy(std::string(ATTN_GOLDEN_DIR) + "/swin/" + name + ".npy").as<float>();
  };
  write(path, "table", {49, 2}, golden("table"));
  for (auto const& [height, width] : {std::pair<Index, Index>{7, 7}, {3, 3}, {2, 9}}) {
    Ctx ctx;
    Index const rows = (2 * height - 1) * (2 * width - 1);
    nn::Builder(ctx).add<2>("table", {rows, 2}, nn::zeros(), {.adapts = nn::RelativePositions{height, width}});
    EXPECT_NE(message_of([&] { load_weights(path, ctx); }), "");
    std::string const size = std::to_string(height) + " x " + std::to_string(width);
    EXPECT_EQ(load_weights(path, ctx, {.adapt = true}).adapted,
              std::vector<std::string>{"table was interpolated from a window of 4 x 4 to one of " + size});
    auto const wanted = golden("table_" + std::to_string(height) + "x" + std::to_string(width));
    auto const got = ctx.parameters.host_values(ctx.parameters.entry("table"));
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 4e-6) << size << " " << i;
  }
  Ctx ctx;
  nn::Builder(ctx).add<2>("table", {9, 2}, nn::zeros(), {.adapts = nn::RelativePositions{2, 2}});
  write(path, "table", {48, 2}, std::vector<float>(96));  // of no square window
  EXPECT_NE(message_of([&] { load_weights(path, ctx, {.adapt = true}); }), "");
}

TEST(Adapt, AHeadForOtherClasses_StaysAsItWasDrawn) {
  Folder const folder("weights_head");
  io::Path const path = folder.path / "w.safetensors";
  Ctx ctx(3);
  nn::Builder(ctx).add<2>("head.weight", {3, 4}, nn::normal(1), {.adapts = nn::ClassRows{}});
  auto const drawn = ctx.parameters.host_values(ctx.parameters.entry("head.weight"));
  write(path, "head.weight", {10, 4}, std::vector<float>(40));
  EXPECT_EQ(load_weights(path, ctx, {.adapt = true}).sentences(),
            std::vector<std::string>{"head.weight was drawn anew, for 3 classes instead of the file's 10"});
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.entry("head.weight")), drawn);
  EXPECT_NE(message_of([&] { load_weights(path, ctx); }), "");
  write(path, "head.weight", {10, 5}, std::vector<float>(50));
  EXPECT_NE(message_of([&] { load_weights(path, ctx, {.adapt = true}); }), "");
}

}  // namespace
