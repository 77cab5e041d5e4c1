// A plain table for terminals: columns as wide as their widest cell, two blanks between them.
#pragma once

#include <string>
#include <vector>

namespace muster {

class TextTable {
 public:
  enum class Align { kLeft, kRight };

  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Cells beyond the last column are refused by an assertion; missing ones are empty.
  void add_row(std::vector<std::string> cells);

  // The same table without the columns in which every cell is empty.
  TextTable without_empty_columns() const;

  // Header, then the rows; every line ends in a newline and none in a blank.
  std::string to_string(const std::string& indent = "") const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace muster
