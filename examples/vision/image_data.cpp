#include "vision/image_data.hpp"

#include "attn/data/cifar_images.hpp"
#include "attn/data/evaluation_transform.hpp"
#include "attn/data/file_images.hpp"
#include "attn/data/image_files.hpp"
#include "attn/data/train_transform.hpp"

#include <algorithm>
#include <iostream>
#include <utility>

namespace vision {
namespace {

/// Images of `Source`, with the data that it refers to.
template <class Data, class Source>
class OwningSet : public ImageSet {
 public:
  template <class... More>
  explicit OwningSet(Data data, More const&... more) : data_(std::move(data)), images_(data_, more...) {}
  OwningSet(OwningSet const&) = delete;

  std::size_t size() const override { return images_.size(); }
  attn::data::ImageShape shape() const override { return images_.shape(); }
  void sample(std::size_t i, attn::RandomKey key, attn::data::ImageSample<float>& out) const override {
    images_.sample(i, key, out);
  }

 private:
  Data data_;
  Source images_;
};

template <class Transform>
std::shared_ptr<ImageSet const> set_of(attn::data::Dataset data, Transform const& transform, char const* name) {
  attn::data::check(data, name);
  using Images = attn::data::DatasetImages<float, Transform>;
  return std::make_shared<OwningSet<attn::data::Dataset, Images>>(std::move(data), transform);
}

/// Pictures in files, read when they are wanted.
template <class Transform>
std::shared_ptr<ImageSet const> set_of(attn::data::ImageFiles files, Transform const& transform,
                                       attn::data::FileImagesOptions const& options) {
  using Images = attn::data::FileImages<float, Transform>;
  return std::make_shared<OwningSet<attn::data::ImageFiles, Images>>(std::move(files), transform, options);
}

/// Of the images that weights were trained with, else of those that the model was published for.
attn::data::Normalization const& normalization_of(Wanted const& wanted) {
  return wanted.trained.mean.empty() ? wanted.normalization : wanted.trained;
}

/// At most `limit` of some files, evenly out of all classes; 0: all.
attn::data::ImageFiles some_of(attn::data::ImageFiles files, std::size_t limit) {
  if (limit == 0 || limit >= files.size()) return files;
  for (std::size_t i = 0; i < limit; ++i) {
    std::size_t const from = i * files.size() / limit;
    files.names[i] = files.names[from];
    files.labels[i] = files.labels[from];
  }
  files.names.resize(limit);
  files.labels.resize(limit);
  return files;
}

/// Says where a model, trained before, knows more classes than the images that it is judged by.
void note_classes(attn::data::Dataset const& test, int known) {
  int const there = *std::max_element(test.labels.begin(), test.labels.end()) + 1;
  if (known <= there) return;
  std::cerr << "the model knows " << known << " classes, the labels of the test images only " << there
            << ": are they of the data that it was trained with?" << std::endl;
}

/// What a directory holds, by its names.
std::string format_of(DataSettings const& settings) {
  auto const& f = settings.files;
  bool const named =
      !f.train_images.empty() || !f.train_labels.empty() || !f.test_images.empty() || !f.test_labels.empty();
  if (settings.format != "auto") return settings.format;
  return named ? "idx" : name_of(attn::data::detect_dataset(settings.directory));
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

ImageData in_memory(attn::data::Split split, Recipe const& recipe, std::optional<Extent> const& size) {
  using attn::data::EvaluationTransform, attn::data::TrainTransform;
  ImageData data{.normalization = split.test.normalization, .class_names = split.test.class_names};
  Extent const at = size.value_or(Extent{static_cast<int>(split.test.height), static_cast<int>(split.test.width)});
  auto const height = static_cast<std::size_t>(at.height), width = static_cast<std::size_t>(at.width);
  if (split.train.count > 0) {
    TrainTransform<float> const transform(height, width, split.train.normalization, augmentation_of(recipe));
    data.train = set_of(std::move(split.train), transform, "TrainingBatches");
  }
  // Images that keep their size are seen whole.
  EvaluationTransform<float> const transform(height, width, data.normalization,
                                             size ? recipe.crop_fraction.value_or(1) : 1);
  data.test = set_of(std::move(split.test), transform, "EvaluationBatches");
  return data;
}

std::shared_ptr<ImageSet const> pictures_to_judge(attn::data::ImageFiles files, Recipe const& recipe,
                                                  Wanted const& wanted,
                                                  std::shared_ptr<attn::data::UnreadableImages> const& unreadable) {
  using attn::data::EvaluationTransform;
  auto const& normalization = normalization_of(wanted);
  attn::data::FileImagesOptions options{.channels = normalization.mean.size(), .unreadable = unreadable.get()};
  options.decode.scaled = false;  // what is judged is what published accuracies were judged with
  EvaluationTransform<float> const transform(static_cast<std::size_t>(wanted.image.height),
                                             static_cast<std::size_t>(wanted.image.width), normalization,
                                             recipe.crop_fraction.value_or(wanted.crop_fraction));
  return set_of(std::move(files), transform, options);
}

namespace {

/// Pictures of unlike sizes, which become as large as the model wants them.
ImageData in_files(attn::data::ImageFileSplits splits, DataSettings const& settings, Recipe const& recipe,
                   Wanted const& wanted) {
  using attn::data::TrainTransform;
  std::size_t const classes = splits.test.classes.size();
  ATTN_CHECK(wanted.class_names.empty() || wanted.class_names == splits.test.classes,
             "--weights: they know the classes ", wanted.class_names.front(), " to ", wanted.class_names.back(), " (",
             wanted.class_names.size(), "), and '", settings.directory.string(), "' has ", splits.test.classes.front(),
             " to ", splits.test.classes.back(), " (", classes,
             "); give the data that they belong to, or train a new head with --classes ", classes);
  ATTN_CHECK(settings.classes == 0 || static_cast<std::size_t>(settings.classes) == classes, "--classes: give the ",
             classes, " classes that '", settings.directory.string(), "' has folders for, or leave it out, got ",
             settings.classes);
  ImageData data{.normalization = normalization_of(wanted), .class_names = splits.test.classes, .named_classes = true};
  if (settings.skip_unreadable) data.unreadable = std::make_shared<attn::data::UnreadableImages>();
  auto const height = static_cast<std::size_t>(wanted.image.height),
             width = static_cast<std::size_t>(wanted.image.width);
  attn::data::FileImagesOptions options{.channels = data.normalization.mean.size(),
                                        .unreadable = data.unreadable.get()};
  if (wanted.train) {
    TrainTransform<float> const transform(height, width, data.normalization, augmentation_of(recipe));
    data.train = set_of(some_of(std::move(splits.train), settings.train_limit), transform, options);
  }
  data.test = pictures_to_judge(some_of(std::move(splits.test), settings.test_limit), recipe, wanted, data.unreadable);
  return data;
}

}  // namespace

ImageData load_data(DataSettings const& settings, Recipe const& recipe, Wanted const& wanted) {
  std::string const format = format_of(settings);
  auto const size = wanted.sized ? std::optional(wanted.image) : std::nullopt;
  if (format == "idx") {
    bool const test_alone = !wanted.train && !wanted.trained.mean.empty();
    attn::data::Split split = test_alone ? load_idx_test_data(settings, wanted.trained) : load_idx_data(settings);
    note_classes(split.test, wanted.train ? wanted.known_classes : settings.classes);
    return in_memory(std::move(split), recipe, size);
  }
  io::Path const& in = settings.directory;
  if (format == "imagefolder") return in_files(attn::data::list_imagenet(in), settings, recipe, wanted);
  if (format == "tiny-imagenet") return in_files(attn::data::list_tiny_imagenet(in), settings, recipe, wanted);
  attn::data::Split cifar = attn::data::load_cifar_images(in);
  if (!wanted.train && !wanted.trained.mean.empty()) cifar.test.normalization = wanted.trained;
  if (settings.train_limit > 0) cifar.train = attn::data::take(std::move(cifar.train), settings.train_limit);
  if (settings.test_limit > 0) cifar.test = attn::data::take(std::move(cifar.test), settings.test_limit);
  return in_memory(std::move(cifar), recipe, size);
}

}  // namespace vision
