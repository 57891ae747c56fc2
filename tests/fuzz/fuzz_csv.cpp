// A table that can be read can also be continued after any of its rows, and then has those rows.
#include "attn/io/csv.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  return attn::testing::read_as_file(bytes, size, [](std::filesystem::path const& path) {
    attn::io::CsvTable table = attn::io::read_csv(path);
    for (auto const& name : table.columns) table.numbers(name);
    std::size_t const half = table.rows.size() / 2;
    attn::io::CsvLog::resume(path, table.columns, half);
    table.rows.resize(half);
    attn::io::CsvTable const again = attn::io::read_csv(path);
    if (again.columns != table.columns || again.rows != table.rows) std::abort();
  });
}
