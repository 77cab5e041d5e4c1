#include "base/text_table.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

using Align = TextTable::Align;

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  TextTable table({{"rank", Align::kRight}, {"cores"}, {"node"}});
  table.add_row({"0", "0-15", "a"});
  table.add_row({"12", "16", "node-b"});
  EXPECT_EQ(table.to_string(),
            "rank  cores  node\n"
            "   0  0-15   a\n"
            "  12  16     node-b\n");
}

TEST(TextTableTest, NoLineEndsInABlankAndTheIndentIsKept) {
  TextTable table({{"a"}, {"b"}});
  table.add_row({"1"});
  table.add_row({"long", "2"});
  EXPECT_EQ(table.to_string("  "),
            "  a     b\n"
            "  1\n"
            "  long  2\n");
}

TEST(TextTableTest, CountsCharactersNotBytes) {
  TextTable table({{"name"}, {"x"}});
  table.add_row({"é", "1"});
  table.add_row({"abcde", "2"});
  EXPECT_EQ(table.to_string(),
            "name   x\n"
            "é      1\n"
            "abcde  2\n");
}

TEST(TextTableTest, WithoutRowsItIsItsTitles) {
  EXPECT_EQ(TextTable({{"a"}, {"b"}}).to_string(), "a  b\n");
}

TEST(TextTable, LeavesOutColumnsWithoutContent) {
  TextTable table({{"name"}, {"role"}, {"n", TextTable::Align::kRight}});
  table.add_row({"a", "", "10"});
  table.add_row({"b", "", ""});
  EXPECT_EQ(table.without_empty_columns().to_string(),
            "name   n\n"
            "a     10\n"
            "b\n");
}

}  // namespace
}  // namespace muster
