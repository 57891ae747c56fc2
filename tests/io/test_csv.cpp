#include "attn/io/csv.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::CsvCell;
using attn::io::CsvLog;
using attn::io::CsvTable;
using attn::io::read_csv;

class Csv : public ::testing::Test {
 protected:
  TemporaryDirectory directory;
  Path file = directory / "metrics.csv";
};

TEST_F(Csv, WritesTheHeaderOnceAndARowAtATime) {
  CsvLog log(file, {"epoch", "loss", "note"});
  EXPECT_EQ(content(file), "epoch,loss,note\n");
  log.append({1, 0.5f, "warm-up"});
  EXPECT_EQ(content(file), "epoch,loss,note\n1,0.5,warm-up\n");
  log.append({2, {}, ""});
  EXPECT_EQ(content(file), "epoch,loss,note\n1,0.5,warm-up\n2,,\n");
  EXPECT_EQ(log.rows(), 2u);
}

TEST_F(Csv, NumbersRoundTrip) {
  std::vector<double> const values = {0.1, -1.0 / 3, 1e-300, 5e-324, 1.7976931348623157e308, 0, 12345678901234567.0};
  CsvLog log(file, {"double", "float", "integer"});
  for (double const value : values) log.append({value, static_cast<float>(value), std::int64_t(value > 1e15 ? 1 : 0)});
  log.append({std::numeric_limits<double>::infinity(), -std::numeric_limits<float>::infinity(),
              std::numeric_limits<std::uint64_t>::max()});
  log.append({std::nan(""), true, std::numeric_limits<std::int64_t>::min()});
  CsvTable const table = read_csv(file);
  std::vector<double> const doubles = table.numbers("double");
  std::vector<double> const floats = table.numbers("float");
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(doubles[i], values[i]);
    EXPECT_EQ(static_cast<float>(floats[i]), static_cast<float>(values[i]));
  }
  EXPECT_TRUE(std::isinf(doubles[values.size()]));
  EXPECT_TRUE(std::isnan(doubles.back()));
  EXPECT_EQ(table.rows[values.size()][2], "18446744073709551615");
  EXPECT_EQ(table.rows.back()[1], "1");
  EXPECT_EQ(table.rows.back()[2], "-9223372036854775808");
}

TEST_F(Csv, TextWithCommasQuotesAndLineEndsRoundTrips) {
  std::string const awkward = "a \"quoted\", two-line\ntext";
  CsvLog log(file, {"x", "the, column"});
  log.append({awkward, 1});
  log.append({"plain", 2});
  CsvTable const table = read_csv(file);
  EXPECT_EQ(table.columns[1], "the, column");
  EXPECT_EQ(table.rows[0][0], awkward);
  EXPECT_EQ(table.numbers("the, column"), (std::vector<double>{1, 2}));
  EXPECT_TRUE(std::isnan(table.numbers("x")[0]));
  EXPECT_ERROR(table.numbers("y"), "ask for a column that exists, 'y' does not");
}

TEST_F(Csv, ResumeCutsWhatFollowedTheCheckpoint) {
  {
    CsvLog log(file, {"step", "loss"});
    for (int step = 0; step < 5; ++step) log.append({step, step * 0.5});
  }
  put(file, content(file) + "5,2.");  // the run was killed while it wrote
  {
    CsvLog log = CsvLog::resume(file, {"step", "loss"}, 3);
    EXPECT_EQ(log.rows(), 3u);
    log.append({3, 1.25});
  }
  EXPECT_EQ(content(file), "step,loss\n0,0\n1,0.5\n2,1\n3,1.25\n");
  { CsvLog const log = CsvLog::resume(file, {"step", "loss"}, 0); }
  EXPECT_EQ(content(file), "step,loss\n");
}

TEST_F(Csv, ResumeCountsRowsNotLines) {
  {
    CsvLog log(file, {"note"});
    log.append({"two\nlines"});
    log.append({"last"});
  }
  CsvLog::resume(file, {"note"}, 1);
  EXPECT_EQ(content(file), "note\n\"two\nlines\"\n");
}

TEST_F(Csv, ResumeRefusesAnotherFileAndLeavesItAlone) {
  std::string const text = "step,loss\n0,1\n";
  put(file, text);
  EXPECT_ERROR(CsvLog::resume(file, {"step", "accuracy"}, 1), "written with other columns");
  EXPECT_ERROR(CsvLog::resume(file, {"step"}, 1), "written with other columns");
  EXPECT_ERROR(CsvLog::resume(file, {"step", "loss"}, 2), "holds 1 rows, not the 2");
  EXPECT_ERROR(CsvLog::resume(directory / "none", {"step"}, 0), "No such file");
  EXPECT_EQ(content(file), text);
}

TEST_F(Csv, InterruptedLastLineIsNotRead) {
  put(file, "a,b\n1,2\n3,");
  EXPECT_EQ(read_csv(file).rows.size(), 1u);
  put(file, "a,b\n1,2\n3,\"half a te");
  EXPECT_EQ(read_csv(file).rows.size(), 1u);
  put(file, "a,b\r\n1,2\r\n3,4\r");
  EXPECT_EQ(read_csv(file).numbers("b"), std::vector<double>{2});
  put(file, "a,b\n1,2\n3\n");
  EXPECT_ERROR(read_csv(file), "row 2 of '" + file.string() + "' has 1 cells for 2 columns");
  put(file, "");
  EXPECT_ERROR(read_csv(file), "has none");
}

TEST_F(Csv, AQuoteInTheMiddleOfACellIsAnErrorWithItsLine) {
  std::string const where = "of '" + file.string() + "' has ";
  put(file, "a,b\n1,5\" pipe\n2,3\n4,5\n");
  EXPECT_ERROR(read_csv(file), "read_csv: line 2 " + where + "a quote in the middle of a cell");
  put(file, "a,b\n\"x\ny\",\"z\"!\n");
  EXPECT_ERROR(read_csv(file), "line 3 " + where + "text after the quote that ends a cell");
  put(file, "a,b\n1,\"never closed\n2,3\n4,5\n");
  EXPECT_ERROR(read_csv(file), "line 2 " + where + "a quote that is never closed");
  put(file, "a,b\r1,2\r");
  EXPECT_ERROR(read_csv(file), "line 1 " + where + "a carriage return without a line feed");
  EXPECT_ERROR(CsvLog::resume(file, {"a", "b"}, 1), "CsvLog::resume: line 1 " + where);
}

TEST_F(Csv, QuotesThatOpenAtTheStartOfACellAreRead) {
  put(file, "a,b\n\"\",\"\"\"\"\n\"1,2\",\"x\r\ny\"\r\n");
  using Row = std::vector<std::string>;
  EXPECT_EQ(read_csv(file).rows, (std::vector<Row>{{"", "\""}, {"1,2", "x\r\ny"}}));
}

TEST_F(Csv, AByteOrderMarkIsNotPartOfTheFirstName) {
  put(file, "\xef\xbb\xbfstep,loss\n1,2\n3,4\n");
  EXPECT_EQ(read_csv(file).columns[0], "step");
  EXPECT_EQ(read_csv(file).numbers("step"), (std::vector<double>{1, 3}));
  CsvLog::resume(file, {"step", "loss"}, 1);
  EXPECT_EQ(content(file), "\xef\xbb\xbfstep,loss\n1,2\n");
  put(file, "\xef\xbb\xbf\"a,b\"\n1\n");
  EXPECT_EQ(read_csv(file).columns, std::vector<std::string>{"a,b"});
}

TEST_F(Csv, WrongNumberOfCellsIsAnError) {
  CsvLog log(file, {"a", "b"});
  EXPECT_ERROR(log.append({1}), "give 2 cells");
  EXPECT_ERROR(CsvLog(directory / "other", {}), "at least one column");
}

TEST_F(Csv, FullDiskKeepsTheRowsBefore) {
  CsvLog log(file, {"text"});
  log.append({std::string(50, 'a')});
  std::string const before = content(file);
  {
    FileSizeLimit const limit(before.size() + 10);
    EXPECT_ERROR(log.append({std::string(50, 'b')}), "cannot write '" + file.string() + "'");
  }
  EXPECT_EQ(content(file), before);
  EXPECT_EQ(log.rows(), 1u);
  log.append({"c"});
  EXPECT_EQ(content(file), before + "c\n");
  EXPECT_ERROR(CsvLog("/dev/full", {"a"}), "No space left on device");
}

}  // namespace
