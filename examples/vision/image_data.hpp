/// ImageData: images to learn from and to judge by, whatever files or folders they lie in.
#pragma once

#include "attn/data/batches.hpp"
#include "attn/data/file_images.hpp"
#include "attn/data/idx.hpp"
#include "attn/io/setting_list.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vision/recipe.hpp"
#include "vision/sizes.hpp"

namespace vision {

/// Labelled images of one shape; an `attn::data::ImageSource` without its type. Must outlive the batches that read it.
class ImageSet {
 public:
  virtual ~ImageSet() = default;
  virtual std::size_t size() const = 0;
  virtual attn::data::ImageShape shape() const = 0;
  virtual void sample(std::size_t i, attn::RandomKey key, attn::data::ImageSample<float>& out) const = 0;
};

/// One of them, for `attn::data::TrainingBatches` and `EvaluationBatches`.
class AnyImages {
 public:
  using Sample = attn::data::ImageSample<float>;

  explicit AnyImages(ImageSet const& images) : images_(&images) {}
  std::size_t size() const { return images_->size(); }
  attn::data::ImageShape shape() const { return images_->shape(); }
  void sample(std::size_t i, attn::RandomKey key, Sample& out) const { images_->sample(i, key, out); }

 private:
  ImageSet const* images_;
};

using EvaluationBatches = attn::data::EvaluationBatches<float, AnyImages>;
using TrainingBatches = attn::data::TrainingBatches<float, AnyImages>;

struct ImageData {
  std::shared_ptr<ImageSet const> train = {};  // augmented; none where nothing is to be trained
  std::shared_ptr<ImageSet const> test = {};
  attn::data::Normalization normalization = {};
  std::vector<std::string> class_names = {};  // one for each class, or none
  bool named_classes = false;                 // the names are those of folders, by which labels are known
  std::shared_ptr<attn::data::UnreadableImages> unreadable = {};  // where pictures that cannot be read are left out

  ImageSet const& any() const { return train ? *train : *test; }
  std::string name_of(int label) const;
};

struct DataSettings {
  io::Path directory = attn::data::fashion_mnist_directory;
  std::string format = "auto";
  attn::data::IdxPaths files;  // each one that is not given is looked for in the directory
  std::size_t train_limit = 0;
  std::size_t test_limit = 0;
  int classes = 0;
  std::size_t workers = 1;
  bool skip_unreadable = false;
};

void describe(io::SettingList& list, DataSettings& data);

/// The four IDX files that the settings name; see `attn::data::load_idx_split` for what is checked.
attn::data::Split load_idx_data(DataSettings const& settings);

/// Its test images alone, scaled as those were that weights were trained with.
attn::data::Split load_idx_test_data(DataSettings const& settings, attn::data::Normalization const& trained);

/// Images in memory: of training, changed as the recipe says; of their own size, unless another is given.
ImageData in_memory(attn::data::Split split, Recipe const& recipe = {}, std::optional<Extent> const& size = {});

/// What the model expects of its images, as far as it is known before they are.
struct Wanted {
  Extent image = {224, 224};                     // what is cut out of pictures of unlike sizes
  bool sized = false;                            // that was said: images in memory become so large too
  double crop_fraction = 0.875;                  // how images to judge by are cut, unless the recipe says
  attn::data::Normalization normalization = {};  // where the data has none of its own
  bool train = true;                             // whether images to learn from are wanted
  attn::data::Normalization trained = {};     // with which weights were trained, if they say; others must not be used
  std::vector<std::string> class_names = {};  // that weights know, if they say
  int known_classes = 0;                      // of weights that are trained on, if they say
};

/// Pictures of unlike sizes as a model judges them: the shorter side resized, the centre taken. One that cannot be read
/// is an error, or noted in `unreadable` where that is given.
std::shared_ptr<ImageSet const> pictures_to_judge(
    attn::data::ImageFiles files, Recipe const& recipe, Wanted const& wanted,
    std::shared_ptr<attn::data::UnreadableImages> const& unreadable = nullptr);

/// The data that the settings name.
ImageData load_data(DataSettings const& settings, Recipe const& recipe, Wanted const& wanted);

}  // namespace vision
