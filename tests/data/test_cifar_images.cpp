#include "attn/data/cifar_images.hpp"

#include <gtest/gtest.h>

#include "data/temporary_folder.hpp"

namespace {

using attn::testing::message_of;
using attn::testing::TemporaryFolder;
namespace data = attn::data;

/// Images i = 0, 1, ...: the labels, then planes of i, 2 and 3.
std::string file_of(int images, bool fine) {
  std::string bytes;
  for (int i = 0; i < images; ++i) {
    if (fine) bytes += static_cast<char>(i % 20);
    bytes += static_cast<char>(fine ? 99 - i : i % 10);
    for (int const value : {i, 2, 3}) bytes.append(1024, static_cast<char>(value));
  }
  return bytes;
}

TEST(CifarImages, TenClassesAreReadInColourWithTheirNames) {
  TemporaryFolder const folder;
  for (int i = 1; i <= 5; ++i) {
    folder.write("cifar-10-batches-bin/data_batch_" + std::to_string(i) + ".bin", file_of(12, false));
  }
  folder.write("cifar-10-batches-bin/test_batch.bin", file_of(7, false));
  folder.write("cifar-10-batches-bin/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  data::Split const split = data::load_cifar_images(folder.path());
  check(split.train, "train");
  check(split.test, "test");
  EXPECT_EQ(split.train.count, 60u);
  EXPECT_EQ(split.test.count, 7u);
  EXPECT_EQ(split.test.classes, 10);
  EXPECT_EQ(split.train.labels[13], 1);
  EXPECT_EQ(split.train.image(13)[0], 1);
  EXPECT_EQ(split.train.image(13)[1024], 2);
  EXPECT_EQ(split.train.image(13)[3071], 3);
  EXPECT_EQ(split.test.name_of(2), "c");
  EXPECT_FLOAT_EQ(split.test.normalization.mean[1], 2.0f / 255);
}

TEST(CifarImages, AHundredFineClassesAreReadWhereTheirFilesAre) {
  TemporaryFolder const folder;
  folder.write("train.bin", file_of(30, true));
  folder.write("test.bin", file_of(3, true));
  data::Split const split = data::load_cifar_images(folder.path());
  EXPECT_EQ(split.train.classes, 100);
  EXPECT_EQ(split.train.labels[4], 95);
  EXPECT_EQ(split.test.name_of(7), "7");
}

TEST(CifarImages, FilesThatAreTruncatedOrMissingAreNamed) {
  TemporaryFolder const folder;
  EXPECT_NE(message_of<attn::Error>([&] { data::load_cifar_images(folder.path()); }).find("data_batch_1.bin"),
            std::string::npos);
  folder.write("train.bin", file_of(2, true).substr(1));
  EXPECT_NE(message_of<attn::Error>([&] { data::load_cifar_images(folder.path()); }).find("train.bin' is truncated"),
            std::string::npos);
}

}  // namespace
