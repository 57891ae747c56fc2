#include "vision/predict.hpp"

#include "attn/io/npy.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

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

}  // namespace

void predict(Settings const& settings, io::Path const& images, io::Path const& weights, io::Json const& description,
             io::Path const& out) {
  (void)description;
  check(settings);
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
  std::size_t const count = x.shape[0], size = x.shape[1] * x.shape[2] * x.shape[3];
  Sizes const sizes = model_sizes(
      settings.model,
      {.channels = x.shape[1], .height = x.shape[2], .width = x.shape[3], .classes = classes_of(settings, weights)});
  memory_of(settings, sizes, false).check(settings.insist);
  Context ctx(settings.seed);
  auto const model = make_classifier(ctx, settings.activation, sizes);
  load_model(weights, ctx, sizes, false);
  ctx.training = false;

  Answers answers;
  auto const* const numbers = reinterpret_cast<float const*>(x.bytes.data());
  for (std::size_t begin = 0; begin < count; begin += at_once) {
    std::size_t const n = std::min(at_once, count - begin);
    ctx.begin_step();
    auto const batch = ctx.tensor(n, x.shape[1], x.shape[2], x.shape[3]);
    Kokkos::deep_copy(ctx.exec, Kokkos::View<float*, Context::MemorySpace>(batch.data(), n * size),
                      Kokkos::View<float const*, Kokkos::HostSpace>(numbers + begin * size, n * size));
    auto const heads = model->heads(ctx, batch);
    answers.heads.resize(heads.size());
    for (std::size_t h = 0; h < heads.size(); ++h) append(ctx, heads[h], answers.heads[h]);
    append(ctx, mean_of(ctx, heads), answers.mean);
  }
  write(out / "logits.npy", answers.mean, count);
  if (answers.heads.size() > 1) {
    write(out / "logits_class.npy", answers.heads[0], count);
    write(out / "logits_teacher.npy", answers.heads[1], count);
  }
  std::printf("logits of %zu images: %s\n", count, (out / "logits.npy").string().c_str());
}

}  // namespace vision
