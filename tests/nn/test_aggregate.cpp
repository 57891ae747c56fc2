#include "attn/nn/aggregate.hpp"

#include <array>
#include <string>
#include <vector>

#include "support.hpp"

namespace {

using attn::nn::Aggregate;
using attn::nn::for_each_tensor;
using attn_test::Memory;
using Matrix = attn::Tensor<double, 2, Memory>;
using Numbers = attn::Tensor<int const, 1, Memory>;

struct Pyramid {
  Matrix fine, coarse;
  int levels = 2;  // no tensor: it goes along unvisited
  static constexpr auto tensors = std::tuple(&Pyramid::fine, &Pyramid::coarse);
};
struct Regions {
  std::vector<Pyramid> maps;
  Numbers image_of;
  static constexpr auto tensors = std::tuple(&Regions::maps, &Regions::image_of);
};

static_assert(Aggregate<Matrix> && Aggregate<Matrix const&> && Aggregate<Pyramid> && Aggregate<Regions>);
static_assert(Aggregate<std::array<Matrix, 3>> && Aggregate<std::pair<Matrix, Numbers>>);
static_assert(Aggregate<std::tuple<Pyramid, std::vector<Numbers>>> && Aggregate<std::tuple<>>);
static_assert(!Aggregate<double> && !Aggregate<std::pair<Matrix, double>> && !Aggregate<std::vector<std::string>>);

Matrix matrix(attn::Index rows, attn::Index columns) { return {nullptr, {rows, columns}}; }

TEST(Aggregate, VisitsItsTensorsInTheirOrder) {
  Regions const regions{{{matrix(1, 2), matrix(3, 4)}, {matrix(5, 6), matrix(7, 8)}}, Numbers(nullptr, {9})};
  std::vector<attn::Index> rows;
  for_each_tensor(regions, [&](auto const& x) { rows.push_back(x.extent(0)); });
  EXPECT_EQ(rows, (std::vector<attn::Index>{1, 3, 5, 7, 9}));
}

TEST(Aggregate, LetsItsTensorsBeReplaced) {
  std::tuple pair{matrix(1, 2), std::array{matrix(3, 4), matrix(5, 6)}};
  for_each_tensor(pair, [](Matrix& x) { x = matrix(x.extent(1), x.extent(0)); });
  EXPECT_EQ(std::get<0>(pair).extent(0), 2);
  EXPECT_EQ(std::get<1>(pair)[1].extent(0), 6);
}

TEST(Aggregate, MayBeEmpty) {
  int visits = 0;
  for_each_tensor(std::as_const(*std::make_unique<std::vector<Matrix>>()), [&](auto const&) { ++visits; });
  EXPECT_EQ(visits, 0);
}

}  // namespace
