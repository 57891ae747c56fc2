/// ImageFiles: pictures in folders, with their classes: ImageNet's layout, and Tiny-ImageNet's own.
#pragma once

#include "attn/core/check.hpp"
#include "attn/data/detail/lines.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace attn::data {

/// Names below `root`, and a label each: the number of a class in `classes`.
struct ImageFiles {
  std::filesystem::path root;
  std::vector<std::string> classes;
  std::vector<std::string> names;
  std::vector<std::int32_t> labels;

  std::size_t size() const { return names.size(); }
  std::filesystem::path path(std::size_t i) const { return root / names[i]; }
};

/// Pictures to train on, and those to evaluate on.
struct ImageFileSplits {
  ImageFiles train;
  ImageFiles test;  // to evaluate on
};

namespace detail {

/// What torchvision takes for a picture by its name, in letters of any case.
inline bool is_picture(std::filesystem::path const& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  static constexpr std::string_view known[] = {".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                               ".pgm", ".tif",  ".tiff", ".webp"};
  return std::find(std::begin(known), std::end(known), extension) != std::end(known);
}

/// Names of the folders and of the pictures in a folder, each sorted; hidden ones are passed over.
struct Listing {
  std::vector<std::string> folders, pictures;

  explicit Listing(std::filesystem::path const& folder) {
    std::error_code error;
    std::filesystem::directory_iterator entries(folder, error);
    ATTN_CHECK(!error, "list_image_folder: cannot open the folder '", folder.string(), "': ", error.message());
    for (auto const& entry : entries) {
      std::string name = entry.path().filename().string();
      if (name.starts_with('.')) continue;
      if (entry.is_directory(error)) {
        folders.push_back(std::move(name));
      } else if (is_picture(entry.path())) {
        pictures.push_back(std::move(name));
      }
    }
    std::sort(folders.begin(), folders.end());
    std::sort(pictures.begin(), pictures.end());
  }
};

inline std::string first_names(std::vector<std::string> const& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 3); ++i) text += (i > 0 ? ", " : "") + names[i];
  return names.size() > 3 ? text + " and " + std::to_string(names.size() - 3) + " more" : text;
}

}  // namespace detail

/// `root/<class>/<picture>`: classes and pictures sorted by name. Refuses a folder with fewer than two classes, a class
/// without pictures, and folders within one.
inline ImageFiles list_image_folder(std::filesystem::path const& root) {
  detail::Listing const top(root);
  ATTN_CHECK(!top.folders.empty(), "list_image_folder: give a folder of folders, one for each class; '", root.string(),
             "' has ", top.pictures.size(), " pictures and no folder");
  ATTN_CHECK(top.folders.size() > 1, "list_image_folder: give at least two classes; '", root.string(), "' has only '",
             top.folders[0], "'");
  ImageFiles files{.root = root, .classes = top.folders, .names = {}, .labels = {}};
  std::vector<std::string> empty;
  for (std::size_t label = 0; label < files.classes.size(); ++label) {
    std::string const& name = files.classes[label];
    detail::Listing const inside(root / name);
    ATTN_CHECK(inside.folders.empty(), "list_image_folder: put the pictures of a class straight into its folder; '",
               (root / name).string(), "' holds the folder '", inside.folders[0], "'");
    if (inside.pictures.empty()) empty.push_back(name);
    for (std::string const& picture : inside.pictures) {
      files.names.push_back(name + "/" + picture);
      files.labels.push_back(static_cast<std::int32_t>(label));
    }
  }
  ATTN_CHECK(empty.empty(), "list_image_folder: '", root.string(),
             "' has classes without a picture: ", detail::first_names(empty));
  return files;
}

/// `root/{train,val}/<class>/<picture>`, of the same classes.
inline ImageFileSplits list_imagenet(std::filesystem::path const& root) {
  ImageFileSplits splits{list_image_folder(root / "train"), list_image_folder(root / "val")};
  auto const missing = [](ImageFiles const& from, ImageFiles const& in) {
    std::vector<std::string> names;
    std::set_difference(from.classes.begin(), from.classes.end(), in.classes.begin(), in.classes.end(),
                        std::back_inserter(names));
    return names;
  };
  auto const only_train = missing(splits.train, splits.test), only_val = missing(splits.test, splits.train);
  ATTN_CHECK(only_train.empty() && only_val.empty(), "list_imagenet: give train and val of '", root.string(),
             "' the same classes; only in train: ", only_train.empty() ? "none" : detail::first_names(only_train),
             "; only in val: ", only_val.empty() ? "none" : detail::first_names(only_val));
  return splits;
}

/// wnids.txt, `train/<wnid>/images/<picture>` and `val/images/<picture>` with val/val_annotations.txt, whose lines are
/// picture, wnid and four numbers; in a folder, or in tiny-imagenet-200 below it. Classes are sorted by name.
inline ImageFileSplits list_tiny_imagenet(std::filesystem::path const& folder) {
  auto const root = detail::find_folder("list_tiny_imagenet", folder, "wnids.txt", {"tiny-imagenet-200"});
  ImageFileSplits splits;
  splits.train.root = splits.test.root = root;
  std::vector<std::string> classes;
  for (detail::Lines lines(root / "wnids.txt", "list_tiny_imagenet"); lines.next();) {
    if (!lines.text().empty()) classes.push_back(lines.text());
  }
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  ATTN_CHECK(classes.size() > 1, "list_tiny_imagenet: give at least two classes in '", (root / "wnids.txt").string(),
             "', not ", classes.size());
  for (std::size_t label = 0; label < classes.size(); ++label) {
    std::string const folder = "train/" + classes[label] + "/images/";
    detail::Listing const inside(root / folder);
    ATTN_CHECK(!inside.pictures.empty(), "list_tiny_imagenet: '", (root / folder).string(), "' has no picture");
    for (std::string const& picture : inside.pictures) {
      splits.train.names.push_back(folder + picture);
      splits.train.labels.push_back(static_cast<std::int32_t>(label));
    }
  }
  std::filesystem::path const annotations = root / "val" / "val_annotations.txt";
  for (detail::Lines lines(annotations, "list_tiny_imagenet"); lines.next();) {
    auto const fields = lines.fields(6);
    auto const at = std::lower_bound(classes.begin(), classes.end(), fields[1]);
    ATTN_CHECK(at != classes.end() && *at == fields[1], "list_tiny_imagenet: '", annotations.string(), "', line ",
               lines.number(), ": '", fields[1], "' is no class of wnids.txt");
    splits.test.names.push_back("val/images/" + std::string(fields[0]));
    splits.test.labels.push_back(static_cast<std::int32_t>(at - classes.begin()));
  }
  ATTN_CHECK(splits.test.size() > 0, "list_tiny_imagenet: '", annotations.string(), "' names no picture");
  splits.train.classes = splits.test.classes = classes;
  return splits;
}

/// All pictures below a folder, in the order of their paths, without labels; what is hidden is passed over.
inline ImageFiles list_pictures(std::filesystem::path const& root) {
  ImageFiles files{.root = root, .classes = {}, .names = {}, .labels = {}};
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(root, error);
  ATTN_CHECK(!error, "list_pictures: cannot open the folder '", root.string(), "': ", error.message());
  for (; entry != std::filesystem::end(entry); entry.increment(error)) {
    if (entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file(error) && detail::is_picture(entry->path())) {
      files.names.push_back(entry->path().lexically_relative(root).generic_string());
    }
  }
  ATTN_CHECK(files.size() > 0, "list_pictures: give a folder with pictures; there is none in '", root.string(), "'");
  std::sort(files.names.begin(), files.names.end());
  files.labels.resize(files.size());
  return files;
}

/// Layouts of data sets on disk.
enum class DatasetLayout { image_folders, tiny_imagenet, cifar, idx };

/// Which one a folder has, by the files that tell it; refuses a folder of none.
inline DatasetLayout detect_dataset(std::filesystem::path const& root) {
  auto const has = [&](std::initializer_list<char const*> any) {
    std::error_code ignored;
    return std::any_of(any.begin(), any.end(),
                       [&](auto name) { return std::filesystem::exists(root / name, ignored); });
  };
  if (has({"wnids.txt", "tiny-imagenet-200/wnids.txt"})) return DatasetLayout::tiny_imagenet;
  if (has({"train"}) && has({"val"})) return DatasetLayout::image_folders;
  if (has({"data_batch_1.bin", "cifar-10-batches-bin", "train.bin", "cifar-100-binary"})) return DatasetLayout::cifar;
  if (has({"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte",
           "t10k-images-idx3-ubyte.gz"})) {
    return DatasetLayout::idx;
  }
  attn::detail::fail(
      "detect_dataset: give a folder with train and val (classes as folders), wnids.txt (Tiny-ImageNet), "
      "data_batch_1.bin or train.bin (CIFAR), or train-images-idx3-ubyte (IDX); '",
      root.string(), "' has none of them");
}

/// The name of a layout, as flags and messages have it.
inline char const* name_of(DatasetLayout layout) {
  static constexpr char const* names[] = {"imagefolder", "tiny-imagenet", "cifar", "idx"};
  return names[static_cast<std::size_t>(layout)];
}

}  // namespace attn::data
