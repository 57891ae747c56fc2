// Writes canvases of garments as IDX files, for train_vision --data and for whatever reads the format of MNIST.
#include "attn/data/garments.hpp"
#include "attn/data/idx_writer.hpp"
#include "attn/io/output_directory.hpp"

#include <cstdio>

#include "theory/experiments.hpp"
#include "vision/image_data.hpp"

void theory::run_data(attn::io::CommonOptions const& common, DataOptions const& options) {
  using attn::data::GarmentRelation;
  attn::data::GarmentOptions garments{
      .rows = options.rows, .columns = options.columns, .cell = options.cell, .garment = options.garment};
  garments.relation = options.relation == "pair"    ? GarmentRelation::pair
                      : options.relation == "place" ? GarmentRelation::place
                                                    : GarmentRelation::ground;
  if (!options.kinds.empty()) garments.kinds = options.kinds;
  if (garments.relation != GarmentRelation::ground) garments.contrast = 1;
  check(garments, "data");
  vision::DataSettings source;
  if (!options.source.empty()) source.directory = options.source;
  attn::io::OutputDirectory const out(common.out);
  auto const split = attn::data::compose_garments(vision::load_idx_data(source), std::size_t(options.train),
                                                  std::size_t(options.test), garments, common.seed);
  attn::data::write_idx_split(split, common.out);
  std::printf("%zu and %zu images of %zu x %zu, %d classes: train_vision --data '%s' learns from them\n",
              split.train.count, split.test.count, split.train.height, split.train.width, split.train.classes,
              common.out.string().c_str());
}
