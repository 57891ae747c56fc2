/// report.html: settings, a table of runs and the pictures of a run, in one file that any browser shows.
#pragma once

#include "attn/io/file.hpp"
#include "attn/io/results.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::io {

/// A picture with a sentence that says what it shows. PNG and SVG files are stored inside the report.
struct ReportFigure {
  Path file;
  std::string caption;
};

/// A page with figures and tables, ready to be written.
struct Report {
  std::string title;
  std::vector<std::string> paragraphs = {};                        // what was done, in prose
  std::vector<std::pair<std::string, std::string>> settings = {};  // that all runs share: name and value
  std::vector<std::string> columns = {};                           // fields of the runs to show; none: all of them
  std::vector<ReportFigure> figures = {};
};

namespace detail {

/// Text as HTML: nothing in it is markup.
inline std::string html(std::string_view text) {
  std::string escaped;
  for (char const c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

/// Base64 (RFC 4648, with padding).
inline std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;  // 24 bits, zeros beyond the end
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) text += i + j > bytes.size() ? '=' : digits[group >> (18 - 6 * j) & 63u];
  }
  return text;
}

/// A value of a run for a reader: four significant digits, no quotes.
inline std::string readable(Json const& value) {
  if (value.is_null()) return "–";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number_float()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value.get<double>());
  return text;
}

inline std::string run_table(std::vector<Json> const& runs, std::vector<std::string> columns) {
  if (columns.empty()) {
    for (Json const& run : runs) {
      for (auto const& [field, _] : run.items()) {
        if (std::find(columns.begin(), columns.end(), field) == columns.end()) columns.push_back(field);
      }
    }
  }
  std::string table = "<div class=\"scroll\"><table>\n<thead><tr>";
  for (std::string column : columns) {
    std::replace(column.begin(), column.end(), '_', ' ');
    table += "<th>" + html(column) + "</th>";
  }
  table += "</tr></thead>\n<tbody>\n";
  for (Json const& run : runs) {
    table += "<tr>";
    for (std::string const& column : columns) {
      bool const number = run.contains(column) && run[column].is_number();
      table += number ? "<td class=\"number\">" : "<td>";
      table += (run.contains(column) ? html(readable(run[column])) : "") + "</td>";
    }
    table += "</tr>\n";
  }
  return table + "</tbody></table></div>\n";
}

inline std::string figure_html(ReportFigure const& figure) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(figure.file, ignored)) {
    return "<p class=\"note\">" + html(figure.file.filename().string()) + " was not drawn.</p>\n";
  }
  char const* const type = figure.file.extension() == ".svg" ? "image/svg+xml" : "image/png";
  return std::string("<figure><img src=\"data:") + type + ";base64," + base64(MappedFile(figure.file).text()) +
         "\" alt=\"" + html(figure.caption) + "\"><figcaption>" + html(figure.caption) + "</figcaption></figure>\n";
}

inline constexpr char const* report_style = R"(
:root { color-scheme: light; }
body { margin: 2rem auto; padding: 0 1.2rem; max-width: 68rem; color: #1c1f24; background: #fff;
       font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin-bottom: 0.2rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d9dde3; padding-bottom: 0.25rem; }
p { max-width: 46rem; }
.note { color: #5b6470; font-size: 0.9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.92rem; }
th, td { padding: 0.32rem 0.8rem; text-align: left; border-bottom: 1px solid #e4e7ec; white-space: nowrap; }
thead th { border-bottom: 2px solid #aab2bd; }
tbody tr:nth-child(even) { background: #f6f8fa; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.4rem 0; }
img { max-width: 100%; height: auto; }
figcaption { color: #3d454f; font-size: 0.92rem; max-width: 46rem; }
)";

}  // namespace detail

/// Writes the report, atomically. A picture that does not exist (no gnuplot, say) is named and left out.
inline void write_report(Path const& path, Report const& report, Results const& results) {
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n";
  page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  page += detail::html(report.title) + "</title>\n<style>" + detail::report_style + "</style></head><body>\n<h1>";
  page += detail::html(report.title) + "</h1>\n<p class=\"note\">" + detail::html(results.machine()) + "<br>commit " +
          detail::html(results.commit()) + "</p>\n";
  for (std::string const& paragraph : report.paragraphs) page += "<p>" + detail::html(paragraph) + "</p>\n";
  page += "<h2>Runs</h2>\n" + detail::run_table(results.runs(), report.columns);
  if (!report.figures.empty()) page += "<h2>Figures</h2>\n";
  for (ReportFigure const& figure : report.figures) page += detail::figure_html(figure);
  if (!report.settings.empty()) {
    page += "<h2>Settings</h2>\n<div class=\"scroll\"><table><tbody>\n";
    for (auto const& [name, value] : report.settings) {
      page += "<tr><th>" + detail::html(name) + "</th><td>" + detail::html(value) + "</td></tr>\n";
    }
    page += "</tbody></table></div>\n";
  }
  write_file(path, page + "</body></html>\n");
}

}  // namespace attn::io
