#include "attn/data/cifar.hpp"

#include <gtest/gtest.h>

#include "data/temporary_folder.hpp"

namespace {

using attn::testing::message_of;
using attn::testing::TemporaryFolder;
namespace data = attn::data;

/// A file of images: image i has label i % 10, red i, green 2, blue 3, and a black first pixel.
std::string file_of(int images) {
  std::string bytes;
  for (int i = 0; i < images; ++i) {
    bytes += static_cast<char>(i % 10);
    for (int channel = 0; channel < 3; ++channel) {
      int const value = channel == 0 ? i : channel + 1;
      bytes += '\0';
      bytes.append(1023, static_cast<char>(value));
    }
  }
  return bytes;
}

TEST(Cifar, GreyIsWeightedScaledAndRoundedDown) {
  // (0.2989 r + 0.5870 g + 0.1140 b) / 255 * 255.5, by hand
  EXPECT_EQ(data::cifar::grey(0, 0, 0), 0);
  EXPECT_EQ(data::cifar::grey(255, 255, 255), 255);
  EXPECT_EQ(data::cifar::grey(255, 0, 0), 76);   // 76.37
  EXPECT_EQ(data::cifar::grey(0, 255, 0), 149);  // 149.98
  EXPECT_EQ(data::cifar::grey(0, 0, 255), 29);   // 29.13
  EXPECT_EQ(data::cifar::grey(10, 20, 30), 18);  // 18.18
}

TEST(Cifar, BinaryFilesAreReadAndSplitNineToOne) {
  TemporaryFolder const folder;
  for (int i = 1; i <= 5; ++i) {
    folder.write("cifar-10-batches-bin/data_batch_" + std::to_string(i) + ".bin", file_of(20));
  }
  folder.write("cifar-10-batches-bin/test_batch.bin", file_of(7));
  auto const splits = data::load_cifar10(folder.path());
  check(splits.train, "test");
  EXPECT_EQ(splits.train.count(), 90u);
  EXPECT_EQ(splits.dev.count(), 10u);
  EXPECT_EQ(splits.test.count(), 7u);
  EXPECT_EQ(splits.train.labels[13], 3);
  EXPECT_EQ(splits.dev.labels[0], 0);
  EXPECT_EQ(splits.train.sequence(13)[0], 0);
  EXPECT_EQ(splits.train.sequence(13)[1], data::cifar::grey(13, 2, 3));
  EXPECT_EQ(splits.train.first_id, 0);
}

TEST(Cifar, FaultyFilesAreNamed) {
  TemporaryFolder const folder;
  std::string const whole = file_of(2);
  data::Sequences images = data::cifar::empty_dataset();
  auto const read = [&](std::string const& bytes) {
    auto const file = folder.write("x.bin", bytes);
    return message_of<attn::Error>([&] { data::read_cifar10_file(file, images); });
  };
  EXPECT_NE(read(whole.substr(0, 4000)).find("x.bin' is truncated"), std::string::npos);
  EXPECT_NE(read(std::string(1, '\x0a') + whole.substr(1)).find("label 10"), std::string::npos);
  EXPECT_NE(read("").find("x.bin"), std::string::npos);
  folder.write("data_batch_1.bin", whole);
  EXPECT_NE(message_of<attn::Error>([&] { data::load_cifar10(folder.path()); }).find("batch"), std::string::npos);
}

}  // namespace
