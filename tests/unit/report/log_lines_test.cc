#include <fcntl.h>

#include "collector/store/stream_ledger.h"
#include "collector/store/time_index.h"
#include "launcher/report/clock_offsets.h"
#include "launcher/report/line_cutter.h"
#include "launcher/report/line_filter.h"
#include "launcher/report/log_json.h"
#include "launcher/report/log_printer.h"
#include "tests/support/scratch.h"

namespace muster::report {
namespace {

namespace fs = std::filesystem;

class LogLinesTest : public test::ScratchTest {
 protected:
  // One stream, stdout.log of rank 3, as `muster logs` shows it.
  std::string print(std::string_view bytes, LogOptions options) {
    const LogSource source{write("stdout.log", bytes), "[3] ",      false, false,
                           {3, "", "stdout"},          "stdout.log"};
    options.color = false;
    options.ledger = scratch() / "streams.jsonl";
    const Fd out = *open_file(scratch() / "out", O_RDWR | O_CREAT | O_TRUNC);
    auto printer = LogPrinter::create({source}, options, out.get(), out.get());
    EXPECT_TRUE(printer);
    printer->print_stored();
    return read(scratch() / "out");
  }

  void gap(std::uint64_t from, std::optional<std::uint64_t> to, const std::string& reason) {
    store::StreamLedger ledger(scratch() / "streams.jsonl");
    ledger.gap("stdout.log", {from, to, reason});
    EXPECT_TRUE(ledger.flush());
  }

  static LogOptions grep(const std::string& pattern) {
    LogOptions options;
    auto filter = LineFilter::create(pattern);
    EXPECT_TRUE(filter) << pattern;
    if (filter) options.grep = *filter;
    return options;
  }
};

TEST_F(LogLinesTest, GrepShowsLinesThatMatchAsTheyAreShown) {
  const std::string text = "loss 1\nother\n\x1b[31mlo\x1b[0mss 2\n 10%\r 20%\rloss 3\r\nno loss 4";
  EXPECT_EQ(print(text, grep("^loss [0-9]$")), "[3] loss 1\n[3] loss 2\n[3] loss 3\n");
  EXPECT_EQ(print(text, grep("(?i)NO")), "[3] no loss 4\n");
  EXPECT_EQ(print(text, grep("^\\[3\\]")), "") << "the prefix is not of the line";
  EXPECT_EQ(print(text, grep("\\^\\[")), "") << "colours do not count";
}

TEST_F(LogLinesTest, TailAndHeadCountLinesThatMatch) {
  std::string text;
  for (int line = 0; line < 5000; ++line) {
    text += (line % 100 == 0 ? "epoch " : "step ") + std::to_string(line) + "\n";
  }
  LogOptions options = grep("epoch");
  options.tail = 2;
  EXPECT_EQ(print(text, options), "[3] epoch 4800\n[3] epoch 4900\n");
  options.tail = 0;
  EXPECT_EQ(print(text, options), "");
  options.tail.reset();
  options.head = 2;
  EXPECT_EQ(print(text, options), "[3] epoch 0\n[3] epoch 100\n");
  LogOptions first;
  first.head = 3;
  EXPECT_EQ(print(text, first), "[3] epoch 0\n[3] step 1\n[3] step 2\n");
  EXPECT_EQ(print("one\ntwo", first), "[3] one\n[3] two\n");
}

TEST_F(LogLinesTest, AWrongExpressionIsRefusedWithItsPlace) {
  const auto bad = LineFilter::create("loss (a|b");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("missing )"), std::string::npos) << bad.error().message;
  const auto star = LineFilter::create("a**");
  ASSERT_FALSE(star);
  EXPECT_NE(star.error().message.find("at character 2, \"**\""), std::string::npos)
      << star.error().message;
  EXPECT_FALSE(LineFilter::create("\\1")) << "what cannot be searched in linear time";
}

TEST_F(LogLinesTest, JsonHasAnObjectForEachLine) {
  LogOptions options;
  options.json = true;
  const std::string bytes("a\"b\n\xff\x00z\n\x1b[2Jend", 15);
  EXPECT_EQ(print(bytes, options),
            R"({"time":null,"rank":3,"stream":"stdout","offset":0,"text":"a\"b"})"
            "\n"
            R"({"time":null,"rank":3,"stream":"stdout","offset":4,"base64":"/wB6",)"
            "\"text\":\"\xef\xbf\xbd\\u0000z\"}\n"
            R"({"time":null,"rank":3,"stream":"stdout","offset":8,"text":"\u001b[2Jend",)"
            R"("newline":false})"
            "\n");
}

TEST_F(LogLinesTest, ALongLineComesInPieces) {
  const std::string text = std::string(70000, 'x') + "\nend\n";
  LogOptions options;
  options.head = 3;
  const std::string shown = print(text, options);
  EXPECT_EQ(shown,
            "[3] " + std::string(65536, 'x') + " …\n[3] " + std::string(4464, 'x') + "\n[3] end\n");
  options.json = true;
  EXPECT_NE(print(text, options).find("\"newline\":false}"), std::string::npos);
}

TEST_F(LogLinesTest, GapsAreToldWhereTheyAre) {
  // "one\ntw", 2,000,000 bytes that are missing, "o\nend\n", and whatever would have followed.
  std::string text = "one\ntw" + std::string(2'000'000, '\0') + "o\nend\n";
  gap(6, std::nullopt, "overflow");
  gap(6, 2'000'006, "overflow");
  gap(text.size(), std::nullopt, "launcher_lost");
  EXPECT_EQ(print(text, {}),
            "[3] one\n[3] tw\n[3] … 1.9 MiB are missing here (overflow) …\n[3] o\n[3] end\n"
            "[3] … what follows is missing (launcher_lost) …\n");
  LogOptions tail = grep("e");
  tail.tail = 1;
  EXPECT_EQ(print(text, tail), "[3] end\n[3] … what follows is missing (launcher_lost) …\n");
  LogOptions raw;
  raw.raw = true;
  EXPECT_EQ(print(text, raw), text);
  LogOptions json;
  json.json = true;
  EXPECT_NE(print(text, json).find(R"("offset":6,"gap":{"bytes":2000000,"reason":"overflow"}})"),
            std::string::npos);
}

TEST_F(LogLinesTest, AGapAtTheEndIsTold) {
  gap(4, 104, "disk_full");
  LogOptions options;
  EXPECT_EQ(print("one\n", options), "[3] one\n[3] … 100 B are missing here (disk_full) …\n");
  options.merge = true;
  EXPECT_EQ(print("one\n", options), "[3] one\n[3] … 100 B are missing here (disk_full) …\n");
}

TEST_F(LogLinesTest, StreamsOfSeveralNodesAreMergedByOneClock) {
  using namespace std::chrono_literals;
  const plan::WallTime start(1'700'000'000s);
  // Node 1's clock is an hour ahead.
  for (const int rank : {0, 1}) {
    const fs::path file = scratch() / (std::to_string(rank) + ".log");
    store::TimeIndexWriter times(store::time_index_of(file));
    for (int line = 0; line < 3; ++line) {
      times.note(static_cast<std::uint64_t>(2 * line),
                 start + (2 * line + rank) * 1s + (rank == 1 ? 1h : 0h));
    }
    write(file.filename().string(), rank == 0 ? "0\n2\n4\n" : "1\n3\n5\n");
  }
  const auto offsets = clock_offsets_of(
      "{\"writer\":\"node-1\",\"offset_ns\":3600000000000,\"round_trip_ns\":100}\n"
      "{\"writer\":\"node-1\",\"offset_ns\":7,\"round_trip_ns\":5000}\nnonsense\n"
      "{\"writer\":3,\"offset_ns\":1}\n");
  ASSERT_EQ(offsets.size(), 1u);
  std::vector<LogSource> sources;
  for (const int rank : {0, 1}) {
    sources.push_back({scratch() / (std::to_string(rank) + ".log"), "", false, false});
  }
  sources[1].clock_ahead = offsets.at("node-1");
  LogOptions options;
  options.merge = true;
  options.since = start + 1s;
  options.timestamps = true;
  const Fd out = *open_file(scratch() / "out", O_RDWR | O_CREAT | O_TRUNC);
  auto printer = LogPrinter::create(sources, options, out.get(), out.get());
  ASSERT_TRUE(printer);
  printer->print_stored();
  std::string expected;
  for (int line = 1; line < 6; ++line) {
    expected +=
        "2023-11-14T22:13:2" + std::to_string(line) + ".000000Z " + std::to_string(line) + "\n";
  }
  EXPECT_EQ(read(scratch() / "out"), expected);
}

}  // namespace
}  // namespace muster::report
