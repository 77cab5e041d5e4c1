#include "base/time_text.h"

#include <cstdlib>
#include <ctime>

#include <gtest/gtest.h>

#include "base/text.h"

namespace muster {
namespace {

using namespace std::chrono_literals;

const std::chrono::system_clock::time_point kMoment(1'700'000'000s);  // 2023-11-14T22:13:20Z

TEST(ParseTime, ReadsWhatFormatUtcWrites) {
  EXPECT_EQ(parse_time(format_utc(kMoment + 123456us)), kMoment + 123456us);
}

TEST(ParseTime, ReadsTheFormsOfRfc3339) {
  for (const char* text :
       {"2023-11-14T22:13:20Z", "2023-11-14t22:13:20z", "2023-11-14 22:13:20Z",
        "2023-11-14T22:13:20.000Z", "2023-11-14T23:13:20+01:00", "2023-11-14T23:13:20+0100",
        "2023-11-14T23:13:20+01", "2023-11-14T16:43:20-05:30"}) {
    EXPECT_EQ(parse_time(text), kMoment) << text;
  }
  EXPECT_EQ(parse_time("2023-11-14T22:13Z"), kMoment - 20s);
  EXPECT_EQ(parse_time("2023-11-14T22:13:20.5Z"), kMoment + 500ms);
  EXPECT_EQ(parse_time("2023-11-14T22:13:20.1234567891Z"), kMoment + 123456789ns);
  EXPECT_EQ(parse_time("2016-12-31T23:59:60Z"), parse_time("2017-01-01T00:00:00Z"));
}

TEST(ParseTime, IsLocalWithoutAZone) {
  const char* before = std::getenv("TZ");
  const std::string saved = before == nullptr ? "" : before;
  ::setenv("TZ", "UTC-3", 1);  // three hours ahead
  ::tzset();
  EXPECT_EQ(parse_time("2023-11-15T01:13:20"), kMoment);
  EXPECT_EQ(parse_time("2023-11-15 01:13:20"), kMoment);
  EXPECT_EQ(parse_time("2023-11-15"), kMoment - 73min - 20s);
  before == nullptr ? ::unsetenv("TZ") : ::setenv("TZ", saved.c_str(), 1);
  ::tzset();
}

TEST(ParseTime, TakesNothingElse) {
  for (const char* text : {"", "now", "2023", "2023-11", "2023-13-01", "2023-02-30", "2023-11-14T",
                           "2023-11-14T25:00Z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20Zx",
                           "2023-11-14T22:13:20+25:00", "10m", "1969-12-31T23:59:59Z",
                           "2023-11-14T22:1:20Z", "2827-11-14T22:13:20Z", "9999-12-31"}) {
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
  }
}

TEST(ParseSpan, AddsItsParts) {
  EXPECT_EQ(parse_span("90s"), 90s);
  EXPECT_EQ(parse_span("10m"), 10min);
  EXPECT_EQ(parse_span("1h30m"), 90min);
  EXPECT_EQ(parse_span("250ms"), 250ms);
  EXPECT_EQ(parse_span("2d"), 48h);
  EXPECT_EQ(parse_span("0s"), 0s);
}

TEST(ParseSpan, TakesNothingElse) {
  for (const char* text : {"", "10", "m", "10x", "-5s", "1.5h", "10 m", "99999999999999999999d",
                           "40000d", "5s5", "36600d36600d"}) {
    EXPECT_EQ(parse_span(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace muster
