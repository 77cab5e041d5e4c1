#include "launcher/exec/error_file.h"

#include <sys/stat.h>

#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

std::string message_of(std::string_view text) {
  const auto error = parse_error_file(text);
  return error ? error->message : "none";
}

TEST(ParseErrorFileTest, AsTorchWritesIt) {
  const auto error = parse_error_file(
      R"({"message": {"message": "ValueError: loss is nan",)"
      R"( "extraInfo": {"py_callstack": "Traceback …", "timestamp": "1700000000"}}})");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message, "ValueError: loss is nan");
  EXPECT_EQ(error->at, plan::WallTime(std::chrono::seconds(1'700'000'000)));
  EXPECT_EQ(error->source, "error_file");
}

TEST(ParseErrorFileTest, TheMessageMayBeAString) {
  EXPECT_EQ(message_of(R"({"message": "it broke", "errorCode": 7})"), "it broke");
}

TEST(ParseErrorFileTest, WhatIsMalformedIsNone) {
  for (const char* text :
       {"", "{", "[]", "7", "null", "{}", R"({"message": 7})", R"({"message": ""})",
        R"({"message": {"extraInfo": {}}})", R"({"message": {"message": ["x"]}})", "\xff\xfe"}) {
    EXPECT_EQ(message_of(text), "none") << text;
  }
  EXPECT_EQ(message_of(std::string(1 << 20, '[')), "none");
}

TEST(ParseErrorFileTest, ATimeThatIsNoneIsLeftOut) {
  for (const char* time : {"\"soon\"", "-1", "99999999999999", "\"1e9\"", "{}", "1.5"}) {
    const auto error = parse_error_file(
        std::string(R"({"message": {"message": "x", "extraInfo": {"timestamp": )") + time + "}}}");
    ASSERT_TRUE(error) << time;
    EXPECT_FALSE(error->at) << time;
  }
  EXPECT_EQ(message_of(R"({"message": {"message": "x", "extraInfo": "y"}})"), "x");
}

TEST(ParseErrorFileTest, ALongMessageIsCut) {
  EXPECT_EQ(message_of("{\"message\": \"" + std::string(100'000, 'x') + "\"}").size(), 16U * 1024);
}

class ReadErrorFileTest : public test::ScratchTest {};

TEST_F(ReadErrorFileTest, ReadsPlainFilesOfAReasonableSize) {
  EXPECT_TRUE(read_error_file(write("a.json", R"({"message": "x"})")));
  EXPECT_FALSE(read_error_file(scratch() / "none.json"));
  EXPECT_FALSE(
      read_error_file(write("huge.json", "{\"message\": \"" + std::string(5 << 20, 'x') + "\"}")));
  const auto fifo = scratch() / "fifo.json";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(read_error_file(fifo)) << "and does not wait for a writer";
}

}  // namespace
}  // namespace muster::exec
