#include "vision/image_data.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace vision {
namespace {

/// Images in memory, which it shares.
class DatasetSet : public ImageSet {
 public:
  DatasetSet(std::shared_ptr<attn::data::Dataset const> data, attn::data::Augmentation const& augmentation)
      : data_(std::move(data)), images_(*data_, augmentation) {}

  std::size_t size() const override { return images_.size(); }
  attn::data::ImageShape shape() const override { return images_.shape(); }
  void sample(std::size_t i, attn::RandomKey key, attn::data::ImageSample<float>& out) const override {
    images_.sample(i, key, out);
  }

 private:
  std::shared_ptr<attn::data::Dataset const> data_;
  attn::data::DatasetImages<float> images_;
};

std::shared_ptr<ImageSet const> set_of(attn::data::Dataset data, attn::data::Augmentation const& augmentation,
                                       char const* name) {
  attn::data::check(data, name);
  return std::make_shared<DatasetSet>(std::make_shared<attn::data::Dataset const>(std::move(data)), augmentation);
}

bool is_there(io::Path const& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

/// What a directory holds, by its names.
std::string format_of(DataSettings const& settings) {
  auto const& f = settings.files;
  bool const named =
      !f.train_images.empty() || !f.train_labels.empty() || !f.test_images.empty() || !f.test_labels.empty();
  if (settings.format != "auto") return settings.format;
  io::Path const& in = settings.directory;
  if (named) return "idx";
  if (is_there(in / "wnids.txt") || is_there(in / "tiny-imagenet-200" / "wnids.txt")) return "tiny-imagenet";
  for (char const* const name : {"data_batch_1.bin", "cifar-10-batches-bin", "train.bin", "cifar-100-binary"}) {
    if (is_there(in / name)) return "cifar";
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(in / "train", ignored)) return "imagefolder";
  return "idx";
}

/// The four files, each in the directory unless it was named.
attn::data::IdxPaths complete_paths(DataSettings const& settings) {
  attn::data::IdxPaths files = attn::data::idx_paths(settings.directory);
  auto const take = [](io::Path& into, io::Path const& given) {
    if (!given.empty()) into = given;
  };
  take(files.train_images, settings.files.train_images);
  take(files.train_labels, settings.files.train_labels);
  take(files.test_images, settings.files.test_images);
  take(files.test_labels, settings.files.test_labels);
  return files;
}

}  // namespace

std::string ImageData::name_of(int label) const {
  bool const named = label >= 0 && static_cast<std::size_t>(label) < class_names.size();
  return named ? class_names[static_cast<std::size_t>(label)] : std::to_string(label);
}

void describe(io::SettingList& list, DataSettings& d) {
  list.group("Data");
  auto const file = [&](char const* name, io::Path& path) {
    list(name, path, {.help = "IDX file, gzip or plain (default: in --data)", .file = true, .decides = false});
  };
  list("data", d.directory,
       {.help = "Directory of the data: a folder of classes, Tiny-ImageNet, CIFAR, or the four files of MNIST or a "
                "relative of it",
        .decides = false});
  list("dataset", d.format,
       {.help = "What --data holds; auto looks",
        .words = {"auto", "imagefolder", "tiny-imagenet", "cifar", "idx"},
        .decides = false});
  file("train-images", d.files.train_images);
  file("train-labels", d.files.train_labels);
  file("test-images", d.files.test_images);
  file("test-labels", d.files.test_labels);
  list("train-limit", d.train_limit, {.help = "Use so many training images; 0 for all", .decides = false});
  list("test-limit", d.test_limit, {.help = "Use so many test images; 0 for all", .decides = false});
  list("classes", d.classes,
       {.help = "Number of classes; 0 for one more than the highest training label. With --weights of another number, "
                "the head is drawn anew",
        .range = {0, 1000000},
        .model = true});
  list("workers", d.workers,
       {.help = "Threads that read and prepare images; the result is the same for any number",
        .range = {1, 1024},
        .decides = false});
  list("skip-unreadable", d.skip_unreadable,
       {.help = "Leave out pictures that cannot be read, and count them, instead of stopping", .decides = false});
}

attn::data::Split load_idx_data(DataSettings const& settings) {
  auto const& given = settings.files;
  bool const is_fashion = settings.directory == attn::data::fashion_mnist_directory && given.train_images.empty() &&
                          given.train_labels.empty() && given.test_images.empty() && given.test_labels.empty();
  attn::data::Split split = is_fashion ? attn::data::load_fashion_mnist()
                                       : attn::data::load_idx_split(complete_paths(settings), settings.classes);
  if (is_fashion && settings.classes > 0) {
    ATTN_CHECK(settings.classes >= split.train.classes, "--classes: give at least the ", split.train.classes,
               " classes of the data, got ", settings.classes);
    split.train.classes = split.test.classes = settings.classes;
  }
  if (settings.train_limit > 0) split.train = attn::data::take(std::move(split.train), settings.train_limit);
  if (settings.test_limit > 0) split.test = attn::data::take(std::move(split.test), settings.test_limit);
  return split;
}

attn::data::Split load_idx_test_data(DataSettings const& settings, attn::data::Normalization const& trained) {
  attn::data::IdxPaths const files = complete_paths(settings);
  attn::data::Split split;
  split.test = attn::data::load_idx(files.test_images, files.test_labels, settings.classes);
  split.test.normalization = trained;
  if (settings.test_limit > 0) split.test = attn::data::take(std::move(split.test), settings.test_limit);
  return split;
}

ImageData in_memory(attn::data::Split split, Recipe const& recipe) {
  ImageData data{.normalization = split.test.normalization, .class_names = split.test.class_names};
  if (split.train.count > 0) {
    data.train = set_of(
        std::move(split.train),
        {.crop_padding = recipe.crop_padding, .flip_probability = recipe.flip, .erase_probability = recipe.erase},
        "TrainingBatches");
  }
  data.test = set_of(std::move(split.test), {}, "EvaluationBatches");
  return data;
}

ImageData load_data(DataSettings const& settings, Recipe const& recipe, Wanted const& wanted) {
  std::string const format = format_of(settings);
  if (format == "idx") {
    if (!wanted.train && !wanted.trained.mean.empty()) return in_memory(load_idx_test_data(settings, wanted.trained));
    return in_memory(load_idx_data(settings), recipe);
  }
  throw attn::Error("--dataset: '" + format + "' is not supported yet");
}

}  // namespace vision
