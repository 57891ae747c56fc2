/// Document retrieval of the Long Range Arena: does one paper cite the other? Pairs of the ACL Anthology Network
/// (Radev et al. 2013), byte by byte.
#pragma once

#include "attn/data/detail/lines.hpp"
#include "attn/data/sequences.hpp"

#include <charconv>
#include <filesystem>

namespace attn::data {

/// Where a document is cut, and what is added to that for the length of batches.
struct RetrievalOptions {
  std::size_t limit = 4000;
  std::size_t padding = 96;
};

/// Reads a file of the release: label ("0.0" or "1.0"), two numbers of papers and their two texts on each line, tabs
/// between them, no header, no quotes.
inline Sequences read_retrieval_tsv(std::filesystem::path const& path, RetrievalOptions const& options = {}) {
  Sequences data;
  data.per_example = 2;
  data.length = options.limit + options.padding;
  data.vocabulary = 512;
  data.classes = 2;
  detail::Lines lines(path, "read_retrieval_tsv");
  while (lines.next()) {
    auto const fields = lines.fields(5);
    double label = -1;
    auto const [end, error] = std::from_chars(fields[0].data(), fields[0].data() + fields[0].size(), label);
    lines.check(error == std::errc() && end == fields[0].data() + fields[0].size() && (label == 0 || label == 1),
                "a label 0.0 or 1.0 is wanted first, there is '", fields[0].substr(0, 20), "'");
    data.append(fields[3], options.limit);
    data.append(fields[4], options.limit);
    data.labels.push_back(static_cast<std::int32_t>(label));
  }
  ATTN_CHECK(data.count() > 0, "read_retrieval_tsv: '", path.string(), "' holds no pairs");
  return data;
}

/// Reads new_aan_pairs.{train,eval,test}.tsv, in `directory` or where the release has them below it.
inline SequenceSplits load_retrieval(std::filesystem::path const& directory, RetrievalOptions const& options = {}) {
  auto const folder = detail::find_folder("load_retrieval", directory, "new_aan_pairs.train.tsv",
                                          {"tsv_data", "lra_release/tsv_data", "lra_release/lra_release/tsv_data"});
  return {read_retrieval_tsv(folder / "new_aan_pairs.train.tsv", options),
          read_retrieval_tsv(folder / "new_aan_pairs.eval.tsv", options),
          read_retrieval_tsv(folder / "new_aan_pairs.test.tsv", options)};
}

}  // namespace attn::data
