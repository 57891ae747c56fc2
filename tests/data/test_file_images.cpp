// Folders of pictures, written by the tests, as batches.
#include "attn/data/batches.hpp"
#include "attn/data/file_images.hpp"
#include "attn/data/resample.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/temporary_folder.hpp"

namespace {

using namespace attn::data;
using attn::testing::TemporaryFolder;

/// A corner of the picture at random, 8 x 8.
struct Corner {
  std::size_t height() const { return 8; }
  std::size_t width() const { return 8; }
  ImageBox box(std::size_t h, std::size_t w, attn::RandomKey key) const {
    double const share = 0.3 + 0.7 * attn::uniform<double>(key, 0);
    return {.height = share * double(h), .width = share * double(w)};
  }
  void operator()(Image const& image, ImageBox box, attn::RandomKey, float* out) const {
    Image const small = resample(image, box, 8, 8, Filter::bicubic);
    for (std::size_t i = 0; i < 192; ++i) out[i] = small.pixels[i];
  }
};
static_assert(ImageTransform<Corner, float> && ImageSource<FileImages<float, Corner>, float>);

void copy_picture(TemporaryFolder const& folder, char const* golden, std::string const& to) {
  std::filesystem::create_directories((folder / to).parent_path());
  std::filesystem::copy_file(std::filesystem::path(ATTN_GOLDEN_DIR) / "decode" / golden, folder / to);
}

void fill_classes(TemporaryFolder const& folder, std::string const& split) {
  for (char const* name : {"420.JPEG", "cmyk.JPEG", "grey.JPEG"}) {
    copy_picture(folder, name, split + "/cat/" + name);
    copy_picture(folder, name, split + "/ant/other_" + name);
  }
  copy_picture(folder, "png.JPEG", split + "/bee/b.jpeg");
}

std::string fault(std::function<void()> const& action) {
  try {
    action();
  } catch (attn::Error const& e) {
    return e.what();
  }
  return "";
}

bool has(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

TEST(ImageFiles, SortsClassesAndPictures) {
  TemporaryFolder const folder;
  fill_classes(folder, "train");
  fill_classes(folder, "val");
  folder.write("train/bee/notes.txt", "no picture");
  auto const splits = list_imagenet(folder.path());
  EXPECT_EQ(splits.train.classes, (std::vector<std::string>{"ant", "bee", "cat"}));
  EXPECT_EQ(splits.train.labels, (std::vector<std::int32_t>{0, 0, 0, 1, 2, 2, 2}));
  EXPECT_EQ(splits.train.names[3], "bee/b.jpeg");
  EXPECT_EQ(detect_dataset(folder.path()), DatasetLayout::image_folders);
}

TEST(ImageFiles, SayWhatIsWrongWithFolders) {
  TemporaryFolder const folder;
  EXPECT_TRUE(has(fault([&] { list_image_folder(folder.path()); }), "no folder"));
  EXPECT_TRUE(has(fault([&] { list_image_folder(folder / "missing"); }), "cannot open"));
  EXPECT_TRUE(has(fault([&] { detect_dataset(folder.path()); }), "none of them"));
  folder.write("train/a/1.jpg", "");
  EXPECT_TRUE(has(fault([&] { list_image_folder(folder / "train"); }), "has only 'a'"));
  std::filesystem::create_directories(folder / "train/empty");
  EXPECT_TRUE(has(fault([&] { list_image_folder(folder / "train"); }), "without a picture: empty"));
  folder.write("train/empty/deep/1.jpg", "");
  EXPECT_TRUE(has(fault([&] { list_image_folder(folder / "train"); }), "holds the folder 'deep'"));
  std::filesystem::remove_all(folder / "train/empty");
  folder.write("train/b/1.jpg", "");
  folder.write("val/b/1.jpg", "");
  folder.write("val/c/1.jpg", "");
  EXPECT_TRUE(has(fault([&] { list_imagenet(folder.path()); }), "only in train: a; only in val: c"));
}

TEST(ImageFiles, ReadTinyImageNet) {
  TemporaryFolder const folder;
  folder.write("wnids.txt", "n2\nn1\n");
  folder.write("train/n1/images/n1_0.JPEG", "");
  folder.write("train/n2/images/n2_0.JPEG", "");
  folder.write("val/val_annotations.txt", "val_0.JPEG\tn2\t0\t0\t9\t9\n");
  auto const splits = list_tiny_imagenet(folder.path());
  EXPECT_EQ(splits.train.names[1], "train/n2/images/n2_0.JPEG");
  EXPECT_EQ(splits.test.names[0], "val/images/val_0.JPEG");
  EXPECT_EQ(splits.test.labels[0], 1);
  EXPECT_EQ(detect_dataset(folder.path()), DatasetLayout::tiny_imagenet);
  folder.write("val/val_annotations.txt", "val_0.JPEG\tn3\t0\t0\t9\t9\n");
  EXPECT_TRUE(has(fault([&] { list_tiny_imagenet(folder.path()); }), "'n3' is no class"));
}

TEST(ImageFiles, ListAllPicturesBelowAFolder) {
  TemporaryFolder const folder;
  folder.write("b.png", "");
  folder.write("a/deep/1.JPEG", "");
  folder.write("a/notes.txt", "no picture");
  folder.write(".hidden/2.jpg", "");
  folder.write("a/.3.jpg", "");
  auto const files = list_pictures(folder.path());
  EXPECT_EQ(files.names, (std::vector<std::string>{"a/deep/1.JPEG", "b.png"}));
  EXPECT_EQ(files.labels.size(), 2u);
  EXPECT_TRUE(has(fault([&] { list_pictures(folder / ".hidden/none"); }), "cannot open"));
  std::filesystem::create_directories(folder / "empty");
  EXPECT_TRUE(has(fault([&] { list_pictures(folder / "empty"); }), "there is none"));
}

TEST(ImageFiles, AreKnownByTheirNamesWhereTheyLieBelowAFolderOfAnArchive) {
  TemporaryFolder const folder;
  folder.write("tiny-imagenet-200/wnids.txt", "n1\nn2\n");
  EXPECT_EQ(detect_dataset(folder.path()), DatasetLayout::tiny_imagenet);
  EXPECT_TRUE(has(fault([&] { list_tiny_imagenet(folder.path()); }), "tiny-imagenet-200"));
  folder.write("cifar/train.bin", "");
  EXPECT_EQ(detect_dataset(folder / "cifar"), DatasetLayout::cifar);
  folder.write("idx/t10k-images-idx3-ubyte.gz", "");
  EXPECT_EQ(detect_dataset(folder / "idx"), DatasetLayout::idx);
}

TEST(FileImages, AreTheSameForAnyWorkersAndAfterAResumption) {
  TemporaryFolder const folder;
  fill_classes(folder, "train");
  folder.write("train/bee/broken.jpg", "not a picture");
  ImageFiles const files = list_image_folder(folder / "train");
  UnreadableImages unreadable;
  auto const read = [&](std::size_t workers, std::uint64_t first, int count) {
    FileImages<float, Corner> const source(files, Corner{}, {.unreadable = &unreadable});
    TrainingBatches batches(source, {.batch_size = 2, .key = {.seed = 7}, .first_batch = first, .workers = workers});
    std::vector<float> all;
    for (int b = 0; b < count; ++b) {
      auto const& batch = batches.next();
      all.insert(all.end(), batch.images().data(), batch.images().data() + batch.images().size());
      for (std::size_t i = 0; i < batch.size(); ++i) all.push_back(float(batch.labels()(i)));
    }
    return all;
  };
  auto const one = read(1, 0, 6), three = read(3, 0, 6), resumed = read(2, 2, 4);
  EXPECT_EQ(one, three);
  EXPECT_TRUE(std::equal(resumed.begin(), resumed.end(), one.end() - std::ptrdiff_t(resumed.size())));
  EXPECT_EQ(unreadable.count(), 1u);
  EXPECT_TRUE(has(unreadable.first_fault(), "broken.jpg"));

  FileImages<float, Corner> const strict(files, Corner{});
  std::vector<float> pixels(192);
  ImageSample<float> sample{.pixels = pixels.data()};
  EXPECT_TRUE(has(fault([&] {
                    for (std::size_t i = 0; i < strict.size(); ++i) strict.sample(i, {}, sample);
                  }),
                  "broken.jpg' is neither a JPEG nor a PNG but text"));
}

}  // namespace
