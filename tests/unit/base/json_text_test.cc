#include "base/json_text.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(JsonText, ControlsThatJsonAllowsAreEscaped) {
  EXPECT_EQ(without_raw_controls("{\"a\":\"plain é € 😀 …\"}"), "{\"a\":\"plain é € 😀 …\"}");
  EXPECT_EQ(without_raw_controls("\"a\x7f"
                                 "b\""),
            "\"a\\u007fb\"");
  EXPECT_EQ(without_raw_controls("\"\u009b31m\u0080\u009f\u00a0\""),
            "\"\\u009b31m\\u0080\\u009f\u00a0\"");
  EXPECT_EQ(without_raw_controls("\"\u202a\u202e\u2066\u2069\u2029\u202f\u2065\u206a\""),
            "\"\\u202a\\u202e\\u2066\\u2069\u2029\u202f\u2065\u206a\"");
  EXPECT_EQ(without_raw_controls("cut \xe2\x80"), "cut \xe2\x80");
}

}  // namespace
}  // namespace muster
