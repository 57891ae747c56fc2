#include "attn/data/idx.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <string>

#include "data/images.hpp"
#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::data::Dataset;
using attn::data::load_idx;
using attn::data::load_idx_split;

void put_gzip(Path const& path, std::string const& bytes) {
  gzFile const file = ::gzopen(path.c_str(), "wb");
  ::gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  ::gzclose(file);
}

class Idx : public ::testing::Test {
 protected:
  Idx() {
    for (int i = 0; i < 3 * 4 * 5; ++i) pixels += static_cast<char>(4 * i);
    put(images, idx({3, 4, 5}, pixels));
    put(labels, idx({3}, std::string("\0\2\1", 3)));
  }
  TemporaryDirectory directory;
  Path images = directory / "images-idx3-ubyte";
  Path labels = directory / "labels-idx1-ubyte";
  std::string pixels;
};

TEST_F(Idx, HoldsImagesAndLabels) {
  Dataset const data = load_idx(images, labels);
  EXPECT_EQ(data.count, 3u);
  EXPECT_EQ(data.channels, 1u);
  EXPECT_EQ(data.height, 4u);
  EXPECT_EQ(data.width, 5u);
  EXPECT_EQ(data.classes, 3);
  EXPECT_EQ(data.labels, (std::vector<std::int32_t>{0, 2, 1}));
  EXPECT_TRUE(std::equal(data.images.begin(), data.images.end(), pixels.begin(),
                         [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); }));
  EXPECT_EQ(load_idx(images, labels, 10).classes, 10);
}

TEST_F(Idx, IsTheSameCompressedWithOrWithoutSuffix) {
  Dataset const plain = load_idx(images, labels);
  put_gzip(directory / "i.gz", content(images));
  put_gzip(directory / "l.gz", content(labels));
  for (char const* const suffix : {"", ".gz"}) {
    Dataset const data = load_idx(directory / (std::string("i") + suffix), directory / (std::string("l") + suffix));
    EXPECT_EQ(data.images, plain.images);
    EXPECT_EQ(data.labels, plain.labels);
  }
  EXPECT_EQ(load_idx(Path(images.string() + ".gz"), labels).images, plain.images);
}

TEST_F(Idx, LabelsOutOfRangeAreErrors) {
  EXPECT_ERROR(load_idx(images, labels, 2),
               "load_idx: '" + labels.string() + "': label 2 of image 1 is out of range, there are 2 classes");
}

TEST_F(Idx, FilesThatAreNotWhatTheyShouldBeAreErrors) {
  EXPECT_ERROR(load_idx(directory / "none", labels), "cannot open '" + (directory / "none").string() + "'");
  EXPECT_ERROR(load_idx(images, directory / "none.gz"), "No such file");
  EXPECT_ERROR(load_idx(labels, images),
               "'" + labels.string() + "' holds labels (1 dimension), not images; were two files exchanged?");
  EXPECT_ERROR(load_idx(images, images), "holds images (3 dimensions), not labels");
  Path const bad = directory / "bad";
  put(bad, "text, not numbers");
  EXPECT_ERROR(load_idx(bad, labels), "'" + bad.string() + "' is not an IDX file; give one that holds images");
  put(directory / "text.gz", "text");
  EXPECT_ERROR(load_idx(directory / "text.gz", labels), "not in gzip format");
  put(bad, idx({3, 4, 5}, pixels, 0x0d));
  EXPECT_ERROR(load_idx(bad, labels), "holds elements of type 13, not unsigned bytes");
  put(bad, idx({3, 4}, pixels));
  EXPECT_ERROR(load_idx(bad, labels), "holds something else (2 dimensions), not images");
  put(bad, idx({3, 4, 5}, pixels).substr(0, 10));
  EXPECT_ERROR(load_idx(bad, labels), "truncated within its header");
  put(bad, idx({3, 4, 5}, pixels.substr(1)));
  EXPECT_ERROR(load_idx(bad, labels), "is truncated: 3 x 4 x 5 bytes are announced, 59 are there");
  put(bad, idx({3, 4, 5}, pixels + "x"));
  EXPECT_ERROR(load_idx(bad, labels), "is corrupt: 3 x 4 x 5 bytes are announced, 61 are there");
  put(bad, idx({0xffffffff, 0xffffffff, 0xffffffff}, pixels));
  EXPECT_ERROR(load_idx(bad, labels), "is truncated");
  put(bad, idx({0, 4, 5}, ""));
  EXPECT_ERROR(load_idx(bad, labels), "holds no pixels");
  put(bad, idx({2}, std::string("\0\1", 2)));
  EXPECT_ERROR(load_idx(images, bad), "holds 3 images, but '" + bad.string() + "' holds 2 labels");
  put(bad, idx({1}, ""));
  EXPECT_ERROR(load_idx(images, bad), "is truncated");
}

TEST_F(Idx, EveryTruncationOfAGzipFileIsAnError) {
  Path const cut = directory / "cut.gz";
  put_gzip(directory / "whole.gz", content(images));
  std::string const whole = content(directory / "whole.gz");
  for (std::size_t n = 0; n < whole.size(); ++n) {
    put(cut, whole.substr(0, n));
    EXPECT_THROW(load_idx(cut, labels), attn::Error) << n;
  }
}

TEST_F(Idx, NoMoreIsInflatedThanIsAnnounced) {
  Path const bomb = directory / "bomb.gz";
  put_gzip(bomb, idx({3, 4, 5}, pixels + std::string(20'000'000, '\0')));
  EXPECT_ERROR(load_idx(bomb, labels), "than the 1048636 bytes that there is room for");
  put_gzip(bomb, std::string(20'000'000, 'x'));
  EXPECT_ERROR(load_idx(bomb, labels), "is not an IDX file");
}

TEST_F(Idx, TestDataMustFitTheTrainingData) {
  Path const test_images = directory / "t-images";
  Path const test_labels = directory / "t-labels";
  put(test_images, idx({1, 4, 5}, std::string(20, '\7')));
  put(test_labels, idx({1}, "\1"));
  auto const split = load_idx_split({images, labels, test_images, test_labels});
  EXPECT_EQ(split.test.classes, 3);
  EXPECT_EQ(split.test.normalization.mean, split.train.normalization.mean);
  EXPECT_EQ(split.test.normalization.deviation, split.train.normalization.deviation);
  put(test_labels, idx({1}, "\3"));
  EXPECT_ERROR(load_idx_split({images, labels, test_images, test_labels}), "label 3 of image 0 is out of range");
  put(test_labels, idx({1}, "\1"));
  put(test_images, idx({1, 5, 4}, std::string(20, '\7')));
  EXPECT_ERROR(load_idx_split({images, labels, test_images, test_labels}), "holds images of 5 x 4");
}

TEST(FashionMnist, HasItsKnownSizesLabelsAndStatistics) {
  if (!std::filesystem::exists(attn::data::fashion_mnist_directory))
    GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  auto const split = attn::data::load_fashion_mnist();
  EXPECT_EQ(split.train.count, 60'000u);
  EXPECT_EQ(split.test.count, 10'000u);
  EXPECT_EQ(split.train.height, 28u);
  EXPECT_EQ(split.train.classes, 10);
  for (int label = 0; label < 10; ++label) {
    EXPECT_EQ(std::count(split.train.labels.begin(), split.train.labels.end(), label), 6000);
    EXPECT_EQ(std::count(split.test.labels.begin(), split.test.labels.end(), label), 1000);
  }
  EXPECT_EQ(split.test.name_of(split.test.labels[0]), "Ankle boot");
  EXPECT_NEAR(split.train.normalization.mean[0], 0.2860, 1e-4);
  EXPECT_NEAR(split.train.normalization.deviation[0], 0.3530, 1e-4);
}

TEST(FashionMnist, MissingDirectoryNamesThePackage) {
  EXPECT_ERROR(attn::data::load_fashion_mnist("/no/such"), "install Debian's package dataset-fashion-mnist");
}

}  // namespace
