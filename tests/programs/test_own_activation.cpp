// An activation that its user registers in one line, trained by the code of train_vision.
#include <cmath>
#include <set>

#include "programs/program.hpp"
#include "vision/activations.hpp"
#include "vision/training.hpp"

namespace attn::programs {
namespace {

/// w = s / (1 + s^2)
struct Bump {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row) const {
    return score / (T(1) + score * score);
  }
};

[[maybe_unused]] bool const registered = attn::register_activation<Bump>("bump");

TEST(OwnActivation, IsOfferedBesideThoseOfTheTrainer) {
  auto const names = vision::activations().names();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()),
            (std::set<std::string>{"bump", "softmax", "poly", "relu", "sigmoid"}));
}

TEST(OwnActivation, TrainsAndIsEvaluatedByItsName) {
  Folder const folder;
  TinyImages const train(96, 1), test(40, 2);
  write(folder / "train-images-idx3-ubyte", train.images);
  write_gz(folder / "train-labels-idx1-ubyte.gz", train.labels);
  write(folder / "t10k-images-idx3-ubyte", test.images);
  write(folder / "t10k-labels-idx1-ubyte", test.labels);
  vision::Settings settings;
  settings.activation.activation = "bump";
  settings.data.directory = folder.path;
  settings.model.patch = vision::Extent{4, 4};
  settings.model.width = 16;
  settings.model.depth = 1;
  settings.recipe.batch = 16;
  settings.recipe.epochs = 2;
  auto const data = vision::load_data(settings.data, settings.recipe, {});
  for (char const* const run : {"run", "softmax"}) std::filesystem::create_directories(folder / run);
  auto const outcome = vision::train(settings, data, {.out = folder / "run"});
  EXPECT_EQ(outcome.name, "bump");
  EXPECT_TRUE(std::isfinite(outcome.run.at("test_loss").get<double>()));
  attn::train::World alone;
  auto const again = vision::evaluate(settings, data, folder / "run/weights.safetensors", alone);
  EXPECT_EQ(again.run.at("test_loss"), outcome.run.at("test_loss"));

  settings.activation.activation = "softmax";
  EXPECT_NE(vision::train(settings, data, {.out = folder / "softmax"}).run.at("test_loss"),
            outcome.run.at("test_loss"));
}

std::string message_of(auto const& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

TEST(OwnActivation, NeedsANameOfItsOwn) {
  EXPECT_NE(
      message_of([] { register_activation<Bump>("bump"); }).find("give each activation its own name, got 'bump' twice"),
      std::string::npos);
  EXPECT_NE(message_of([] { (void)vision::activations().make("bumb"); }).find("there is no 'bumb' among bump, softmax"),
            std::string::npos);
  EXPECT_NE(
      message_of([] { (void)vision::activations().make("poly", {.power = 0}); }).find("give a power of at least 1"),
      std::string::npos);
  EXPECT_NE(message_of([] {
              (void)vision::activations().make("poly", {.scale = "some"});
            }).find("give a scale none, fixed or dynamic, got 'some'"),
            std::string::npos);
}

}  // namespace
}  // namespace attn::programs
