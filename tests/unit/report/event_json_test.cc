#include "launcher/report/event_json.h"

#include <chrono>

#include <gtest/gtest.h>

namespace muster::report {
namespace {

const plan::WallTime kTime{std::chrono::microseconds(1'700'000'000'000'042)};

TEST(EventLine, IsOneLineWithFieldsInOrder) {
  EXPECT_EQ(event_line(kTime, "rank_ended",
                       {{"rank", 3},
                        {"how", "exited"},
                        {"seconds", 1.5},
                        {"ok", true},
                        {"bytes", std::uint64_t{5'000'000'000}}}),
            R"({"time":"2023-11-14T22:13:20.000042Z","event":"rank_ended","rank":3,"how":"exited",)"
            R"("seconds":1.5,"ok":true,"bytes":5000000000})"
            "\n");
}

TEST(EventLine, EscapesWhatWouldBreakTheLine) {
  EXPECT_EQ(event_line(kTime, "x", {{"text", std::string("a\"\n\x1b\\")}}),
            "{\"time\":\"2023-11-14T22:13:20.000042Z\",\"event\":\"x\","
            "\"text\":\"a\\\"\\n\\u001b\\\\\"}\n");
}

TEST(EventLine, DoesNotThrowForBytesThatAreNotUtf8) {
  EXPECT_NE(event_line(kTime, "x",
                       {{"text",
                         "a\xff"
                         "b"}})
                .find("a\xef\xbf\xbd"
                      "b"),
            std::string::npos);
}

}  // namespace
}  // namespace muster::report
