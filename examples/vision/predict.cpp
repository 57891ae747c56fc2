#include "vision/predict.hpp"

#include "attn/io/csv.hpp"
#include "attn/io/npy.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "vision/judge.hpp"
#include "vision/training.hpp"
#include "vision/weights.hpp"

namespace vision {
namespace {

constexpr std::size_t at_once = 16;  // images

/// Rows of logits of each head and of their mean, as they come.
struct Answers {
  std::vector<std::vector<float>> heads;
  std::vector<float> mean;
};

void append(Context& ctx, Logits const& logits, std::vector<float>& to) {
  std::size_t const begin = to.size();
  to.resize(begin + static_cast<std::size_t>(logits.size()));
  Kokkos::View<float*, Kokkos::HostSpace> const host(to.data() + begin, to.size() - begin);
  Kokkos::deep_copy(ctx.exec, host, logits.reshape<1>({logits.size()}).view());
  ctx.exec.fence();
}

void write(io::Path const& path, std::vector<float> const& logits, std::size_t rows) {
  std::size_t const columns = rows == 0 ? 0 : logits.size() / rows;
  io::Array array{io::DType::f32, {rows, columns}, std::vector<std::byte>(logits.size() * sizeof(float))};
  std::memcpy(array.bytes.data(), logits.data(), array.bytes.size());
  io::write_npy(path, array);
}

/// The classes that the weights were trained for: as they describe it, else rows of their head.
int classes_of(Settings const& settings, io::Path const& weights) {
  if (settings.data.classes > 0) return settings.data.classes;
  return head_rows(weights);
}

/// Puts the images from `begin` on, so many, where a model reads them.
using Read = std::function<void(std::size_t begin, std::size_t count, float* to)>;

/// What the model says of `count` images like these, and what it has been told of their classes.
Answers ask(Settings const& settings, attn::data::ImageShape const& like, std::size_t count, io::Path const& weights,
            Read const& read) {
  Sizes const sizes = sizes_of(settings, like);
  Settings part = settings;
  part.data.test_limit = std::min(at_once, count);
  memory_of(part, sizes, false).check(settings.insist);
  Context ctx(settings.seed);
  auto const model = make_classifier(ctx, settings.activation, sizes);
  load_model(weights, ctx, sizes, false);
  ctx.training = false;

  Answers answers;
  std::size_t const size = like.image_size();
  std::vector<float> numbers(std::min(at_once, count) * size);
  for (std::size_t begin = 0; begin < count; begin += at_once) {
    std::size_t const n = std::min(at_once, count - begin);
    read(begin, n, numbers.data());
    ctx.begin_step();
    auto const batch = ctx.tensor(n, like.channels, like.height, like.width);
    Kokkos::deep_copy(ctx.exec, Kokkos::View<float*, Context::MemorySpace>(batch.data(), n * size),
                      Kokkos::View<float const*, Kokkos::HostSpace>(numbers.data(), n * size));
    auto const heads = model->heads(ctx, batch);
    answers.heads.resize(heads.size());
    for (std::size_t h = 0; h < heads.size(); ++h) append(ctx, heads[h], answers.heads[h]);
  }
  answers.mean = answers.heads.front();
  for (std::size_t h = 1; h < answers.heads.size(); ++h) {
    for (std::size_t i = 0; i < answers.mean.size(); ++i) answers.mean[i] = (answers.mean[i] + answers.heads[h][i]) / 2;
  }
  return answers;
}

void write(Answers const& answers, std::size_t count, io::Path const& out) {
  write(out / "logits.npy", answers.mean, count);
  if (answers.heads.size() > 1) {
    write(out / "logits_class.npy", answers.heads[0], count);
    write(out / "logits_teacher.npy", answers.heads[1], count);
  }
  std::printf("logits of %zu images: %s\n", count, (out / "logits.npy").string().c_str());
}

/// (images, channels, height, width) of float32, normalised already.
void predict_array(Settings const& settings, io::Path const& images, io::Path const& weights, io::Path const& out) {
  io::Array const x = io::read_npy(images);
  ATTN_CHECK(x.shape.size() == 4 && x.shape[0] > 0, "--predict: give (images, channels, height, width), '",
             images.string(), "' has ", io::to_string(x.shape));
  ATTN_CHECK(x.dtype == io::DType::f32, "--predict: give float32 that is normalised already, '", images.string(),
             "' has another type");
  if (settings.model.image_size) {
    Extent const said = *settings.model.image_size;
    ATTN_CHECK(x.shape[2] == std::size_t(said.height) && x.shape[3] == std::size_t(said.width),
               "--image-size: leave it out, or give that of the images, ", x.shape[2], "x", x.shape[3], ", got ",
               said.text());
  }
  attn::data::ImageShape const like{
      .channels = x.shape[1], .height = x.shape[2], .width = x.shape[3], .classes = classes_of(settings, weights)};
  std::size_t const bytes = like.image_size() * sizeof(float);
  auto const read = [&](std::size_t begin, std::size_t count, float* to) {
    std::memcpy(to, x.bytes.data() + begin * bytes, count * bytes);
  };
  write(ask(settings, like, x.shape[0], weights, read), x.shape[0], out);
}

/// A table of files with the likeliest class and its probability.
void write_table(io::Path const& path, attn::data::ImageFiles const& files, std::vector<float> const& logits,
                 std::vector<std::string> const& class_names) {
  io::CsvLog table(path, {"file", "class", "probability"});
  std::size_t const classes = logits.size() / files.size();
  for (std::size_t i = 0; i < files.size(); ++i) {
    auto const [label, probability] = answer_of(logits.data() + i * classes, classes);
    std::string const name = label < class_names.size() ? class_names[label] : std::to_string(label);
    io::CsvCell const cells[] = {std::string_view(files.names[i]), std::string_view(name), probability};
    table.append(cells);
  }
}

/// Pictures of any size, which become as large as the model wants them.
void predict_pictures(Settings const& settings, io::Path const& folder, io::Path const& weights,
                      io::Json const& description, io::Path const& out) {
  Wanted const wanted = vision::wanted(settings, description, /*trains=*/false);
  attn::data::ImageFiles const files = attn::data::list_pictures(folder);
  auto const images = pictures_to_judge(files, settings.recipe, wanted);
  auto like = images->shape();
  like.classes = classes_of(settings, weights);
  auto const read = [&](std::size_t begin, std::size_t count, float* to) {
    for (std::size_t i = 0; i < count; ++i) {
      attn::data::ImageSample<float> sample{.pixels = to + i * like.image_size()};
      images->sample(begin + i, {}, sample);
    }
  };
  Answers const answers = ask(settings, like, files.size(), weights, read);
  write(answers, files.size(), out);
  write_table(out / "predictions.csv", files, answers.mean, wanted.class_names);
}

}  // namespace

void predict(Settings const& settings, io::Path const& images, io::Path const& weights, io::Json const& description,
             io::Path const& out) {
  check(settings);
  std::error_code ignored;
  if (std::filesystem::is_directory(images, ignored)) {
    return predict_pictures(settings, images, weights, description, out);
  }
  predict_array(settings, images, weights, out);
}

}  // namespace vision
