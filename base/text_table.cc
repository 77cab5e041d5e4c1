#include "base/text_table.h"

#include <algorithm>
#include <cassert>

namespace muster {
namespace {

// Code points of UTF-8 text: wide enough for what our tables hold.
std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

}  // namespace

void TextTable::add_row(std::vector<std::string> cells) {
  assert(cells.size() <= columns_.size());
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

TextTable TextTable::without_empty_columns() const {
  TextTable lean({});
  lean.rows_.resize(rows_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const auto is_empty = [&](const auto& row) { return row[i].empty(); };
    if (std::all_of(rows_.begin(), rows_.end(), is_empty)) continue;
    lean.columns_.push_back(columns_[i]);
    for (std::size_t row = 0; row < rows_.size(); ++row) lean.rows_[row].push_back(rows_[row][i]);
  }
  return lean;
}

std::string TextTable::to_string(const std::string& indent) const {
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) titles.push_back(column.title);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = display_width(titles[i]);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i]));
    widths.push_back(width);
  }

  std::string text;
  const auto add_line = [&](const std::vector<std::string>& cells) {
    std::string line = indent;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string padding(widths[i] - display_width(cells[i]), ' ');
      line += columns_[i].align == Align::kRight ? padding + cells[i] : cells[i] + padding;
      if (i + 1 < cells.size()) line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add_line(titles);
  for (const auto& row : rows_) add_line(row);
  return text;
}

}  // namespace muster
