#include "base/exit_code.h"

#include <fstream>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/text.h"

namespace muster {
namespace {

std::string trimmed(const std::string& cell) {
  const std::size_t first = cell.find_first_not_of(' ');
  return first == std::string::npos ? ""
                                    : cell.substr(first, cell.find_last_not_of(' ') - first + 1);
}

// First cell → second cell, of the rows of every table whose first cell begins with a digit.
std::map<std::string, std::string> rows_of(const std::string& file) {
  std::ifstream in(std::string(MUSTER_TEST_DATA) + "/../../" + file);
  EXPECT_TRUE(in) << "no " << file;
  std::map<std::string, std::string> rows;
  for (std::string line; std::getline(in, line);) {
    const auto cells = split(line, '|');
    if (cells.size() < 4 || cells[1].size() < 2 || cells[1][1] < '0' || cells[1][1] > '9') continue;
    rows[trimmed(cells[1])] = trimmed(cells[2]);
  }
  return rows;
}

TEST(ExitCodeTest, HasOneRowForEachCodeAndEachClassOfError) {
  std::set<ExitCode> codes;
  for (const ExitCodeRow& row : kExitCodes) {
    EXPECT_TRUE(codes.insert(row.code).second) << to_int(row.code);
  }
  for (const ErrorCode error :
       {ErrorCode::kUsage, ErrorCode::kConfig, ErrorCode::kResources, ErrorCode::kInternal,
        ErrorCode::kRunDirectory, ErrorCode::kData, ErrorCode::kTimeout, ErrorCode::kPermission}) {
    EXPECT_TRUE(codes.contains(exit_code_for(error)));
  }
}

TEST(ExitCodeTest, IsWhatTheirPageShows) {
  const auto page = rows_of("docs/exit-codes.md");
  std::set<std::string> known = {"1–125", "128+n"};  // the training program's own
  for (const ExitCodeRow& row : kExitCodes) {
    const std::string code = std::to_string(to_int(row.code));
    known.insert(code);
    ASSERT_TRUE(page.contains(code)) << "docs/exit-codes.md lacks " << code;
    EXPECT_EQ(page.at(code), row.meaning) << "docs/exit-codes.md, " << code;
  }
  for (const auto& [code, meaning] : page) {
    EXPECT_TRUE(known.contains(code)) << "docs/exit-codes.md has " << code;
  }
}

TEST(ExitCodeTest, IsWhatTheReadmeNames) {
  std::set<std::string> named;
  for (const auto& [codes, meaning] : rows_of("README.md")) {
    for (const std::string& code : split(codes, ',')) named.insert(trimmed(code));
  }
  for (const ExitCodeRow& row : kExitCodes) {
    EXPECT_TRUE(named.contains(std::to_string(to_int(row.code)))) << to_int(row.code);
  }
}

}  // namespace
}  // namespace muster
