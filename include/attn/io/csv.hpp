/// Metrics as comma-separated values: a header line once, a row a step or an epoch, numbers that round-trip.
#pragma once

#include "attn/io/file.hpp"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace attn::io {

/// One cell: a number in the fewest digits that read back as the same value ("nan", "inf" and "-inf" included), a
/// text, or nothing.
class CsvCell {
 public:
  CsvCell() = default;
  template <class T>
  requires std::integral<T> || std::floating_point<T> CsvCell(T value) {
    char digits[64];
    if constexpr (std::same_as<T, bool>) {
      text_ = value ? "1" : "0";
    } else {
      text_.assign(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
    }
  }
  /// Quoted where commas, quotes or line ends demand it (RFC 4180).
  CsvCell(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
      text_ = text;
      return;
    }
    text_ = '"';
    for (char const c : text) text_ += c == '"' ? std::string("\"\"") : std::string(1, c);
    text_ += '"';
  }
  CsvCell(std::string const& text) : CsvCell(std::string_view(text)) {}
  CsvCell(char const* text) : CsvCell(std::string_view(text)) {}

  std::string const& text() const { return text_; }

 private:
  std::string text_;
};

/// The cells of a CSV file as text.
struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;

  /// A column as numbers; NaN where a cell is empty or not a number.
  std::vector<double> numbers(std::string_view column) const {
    auto const found = std::find(columns.begin(), columns.end(), column);
    ATTN_CHECK(found != columns.end(), "CsvTable::numbers: ask for a column that exists, '", column, "' does not");
    std::size_t const c = static_cast<std::size_t>(found - columns.begin());
    std::vector<double> values;
    for (auto const& row : rows) {
      double value = 0;
      char const* const last = row[c].data() + row[c].size();
      auto const [end, error] = std::from_chars(row[c].data(), last, value);
      bool const good = error == std::errc() && end == last;
      values.push_back(good ? value : std::numeric_limits<double>::quiet_NaN());
    }
    return values;
  }
};

namespace detail {

/// One record: its cells, and where the next one begins (0: the record is not terminated by a line end).
struct CsvRecord {
  std::vector<std::string> cells;
  std::size_t next = 0;
};

inline CsvRecord parse_csv_record(std::string_view text, std::size_t at) {
  CsvRecord record{{""}, 0};
  bool quoted = false;
  for (; at < text.size(); ++at) {
    char const c = text[at];
    if (quoted && c == '"' && at + 1 < text.size() && text[at + 1] == '"') {
      record.cells.back() += text[++at];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      record.cells.emplace_back();
    } else if (!quoted && c == '\n') {
      record.next = at + 1;
      return record;
    } else if (quoted || c != '\r') {
      record.cells.back() += c;
    }
  }
  return record;
}

}  // namespace detail

/// Reads a CSV file with a header line. A last line without a line end, as an interrupted run may leave, is ignored.
inline CsvTable read_csv(Path const& path) {
  MappedFile const file(path);
  std::string_view const text = file.text();
  detail::CsvRecord record = detail::parse_csv_record(text, 0);
  ATTN_CHECK(record.next != 0, "read_csv: give a CSV file with a header line, '", path.string(), "' has none");
  CsvTable table{std::move(record.cells), {}};
  for (std::size_t at = record.next; at < text.size(); at = record.next) {
    record = detail::parse_csv_record(text, at);
    if (record.next == 0) break;
    ATTN_CHECK(record.cells.size() == table.columns.size(), "read_csv: row ", table.rows.size() + 1, " of '",
               path.string(), "' has ", record.cells.size(), " cells for ", table.columns.size(), " columns");
    table.rows.push_back(std::move(record.cells));
  }
  return table;
}

/// A CSV file that grows by a row at a time. Every row reaches the system before `append` returns, so an interrupted
/// run loses none; a row that does not fit on the disk throws, and leaves the rows before it intact.
class CsvLog {
 public:
  /// Starts a new file: the header line and no rows. What was there is replaced, atomically.
  CsvLog(Path path, std::vector<std::string> columns) : CsvLog(std::move(path), std::move(columns), 0, true) {}

  /// Continues a file after its first `rows` rows, and removes those that follow: what an interrupted run wrote after
  /// the checkpoint that is resumed. The columns must be those of the file, and the file must hold `rows` rows.
  static CsvLog resume(Path path, std::vector<std::string> columns, std::size_t rows) {
    return {std::move(path), std::move(columns), rows, false};
  }

  void append(std::span<CsvCell const> cells) {
    ATTN_CHECK(cells.size() == columns_.size(), "CsvLog::append: give ", columns_.size(), " cells for '",
               path_.string(), "', not ", cells.size());
    std::string const text = line(cells);
    int const error = detail::write_all(fd_.get(), text);
    if (error != 0) std::ignore = ::ftruncate(fd_.get(), static_cast<::off_t>(size_));  // no half row stays behind
    ATTN_CHECK(error == 0, "CsvLog::append: cannot write '", path_.string(), "': ", detail::reason(error));
    size_ += text.size();
    ++rows_;
  }
  void append(std::initializer_list<CsvCell> cells) { append(std::span<CsvCell const>(cells.begin(), cells.size())); }

  /// Rows so far; a checkpoint stores it for `resume`.
  std::size_t rows() const { return rows_; }
  std::vector<std::string> const& columns() const { return columns_; }

 private:
  CsvLog(Path path, std::vector<std::string> columns, std::size_t rows, bool fresh)
      : path_(std::move(path)), columns_(std::move(columns)), rows_(rows) {
    ATTN_CHECK(!columns_.empty(), "CsvLog: give '", path_.string(), "' at least one column");
    if (fresh) {
      std::string const header = line(std::vector<CsvCell>(columns_.begin(), columns_.end()));
      write_file(path_, header);
      size_ = header.size();
    } else {
      size_ = end_of_row(rows);
    }
    fd_ = detail::Descriptor(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    ATTN_CHECK(fd_.get() >= 0, "CsvLog: cannot write '", path_.string(), "': ", detail::reason(errno));
    if (fresh) return;
    int const failed = ::ftruncate(fd_.get(), static_cast<::off_t>(size_));
    ATTN_CHECK(failed == 0, "CsvLog: cannot shorten '", path_.string(), "': ", detail::reason(errno));
  }

  static std::string line(std::span<CsvCell const> cells) {
    std::string text;
    for (CsvCell const& cell : cells) text += (&cell == cells.data() ? "" : ",") + cell.text();
    return text + "\n";
  }

  std::size_t end_of_row(std::size_t rows) const {
    MappedFile const file(path_);
    std::string_view const text = file.text();
    detail::CsvRecord record = detail::parse_csv_record(text, 0);
    ATTN_CHECK(record.next != 0 && record.cells == columns_, "CsvLog::resume: '", path_.string(),
               "' was written with other columns; continue with the settings of the first run, or use another --out");
    for (std::size_t i = 0; i < rows; ++i) {
      std::size_t const at = record.next;
      record = at < text.size() ? detail::parse_csv_record(text, at) : detail::CsvRecord{};
      ATTN_CHECK(record.next != 0, "CsvLog::resume: '", path_.string(), "' holds ", i, " rows, not the ", rows,
                 " that were written before the checkpoint");
    }
    return record.next;
  }

  Path path_;
  std::vector<std::string> columns_;
  std::size_t rows_ = 0;
  std::size_t size_ = 0;
  detail::Descriptor fd_;
};

}  // namespace attn::io
