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

/// Reads the records of a CSV file after RFC 4180: a quote opens a cell at its start or nowhere, and within quotes it
/// is doubled; lines end with LF or CR LF. A byte-order mark in front is skipped. What breaks these rules is an error
/// with the number of the line, since guesses would move cells.
class CsvParser {
 public:
  CsvParser(std::string_view text, char const* function, std::string const& name)
      : text_(text), function_(function), name_(name) {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
  }

  bool at_end() const { return at_ >= text_.size(); }

  /// The next record. A last one without a line end has `next` 0; a quote that is open at the end of the file is an
  /// error unless it was opened in the last line, which an interrupted run may have left.
  CsvRecord record() {
    CsvRecord record{{""}, 0};
    while (!at_end()) {
      if (text_[at_] == '"') {
        if (!quoted(record.cells.back())) return record;
      } else {
        std::size_t const end = std::min(text_.find_first_of(",\"\r\n", at_), text_.size());
        record.cells.back() = text_.substr(at_, end - at_);
        at_ = end;
      }
      if (at_end()) break;
      bool const windows = text_.substr(at_).starts_with("\r\n");
      if (windows || text_[at_] == '\n') {
        at_ += windows ? 2 : 1;
        ++line_;
        record.next = at_;
        break;
      }
      if (text_[at_] == '\r' && at_ + 1 == text_.size()) break;  // interrupted between the two
      check(text_[at_] == ',', text_[at_] == '\r'  ? "a carriage return without a line feed"
                               : text_[at_] == '"' ? "a quote in the middle of a cell; put the cell in quotes, and "
                                                     "double those within"
                                                   : "text after the quote that ends a cell");
      record.cells.emplace_back();
      ++at_;
    }
    if (record.next == 0) at_ = text_.size();
    return record;
  }

 private:
  void check(bool good, char const* problem) const {
    ATTN_CHECK(good, function_, ": line ", line_, " of '", name_, "' has ", problem);
  }

  /// Reads a cell in quotes; false where the file ends within it.
  bool quoted(std::string& cell) {
    std::size_t const opened = line_;
    for (++at_; !at_end(); ++at_) {
      char const c = text_[at_];
      if (c == '"' && !text_.substr(at_ + 1).starts_with('"')) {
        ++at_;
        return true;
      }
      if (c == '"') ++at_;
      line_ += c == '\n';
      cell += c;
    }
    bool const last_line = line_ == opened;
    line_ = opened;
    check(last_line, "a quote that is never closed");
    return false;
  }

  std::string_view text_;
  char const* function_;
  std::string const& name_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

}  // namespace detail

/// Reads a CSV file with a header line, after RFC 4180. A last line without a line end, as an interrupted run may
/// leave, is ignored.
inline CsvTable read_csv(Path const& path) {
  MappedFile const file(path);
  std::string const name = path.string();
  detail::CsvParser parser(file.text(), "read_csv", name);
  detail::CsvRecord record = parser.record();
  ATTN_CHECK(record.next != 0, "read_csv: give a CSV file with a header line, '", path.string(), "' has none");
  CsvTable table{std::move(record.cells), {}};
  while (!parser.at_end()) {
    record = parser.record();
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
    detail::check_written(error, "CsvLog::append", path_);
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
    std::string const name = path_.string();
    detail::CsvParser parser(file.text(), "CsvLog::resume", name);
    detail::CsvRecord record = parser.record();
    ATTN_CHECK(record.next != 0 && record.cells == columns_, "CsvLog::resume: '", path_.string(),
               "' was written with other columns; continue with the settings of the first run, or use another --out");
    for (std::size_t i = 0; i < rows; ++i) {
      record = parser.record();  // none is left at the end: `next` is 0
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
