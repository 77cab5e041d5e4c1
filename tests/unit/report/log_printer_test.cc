#include "launcher/report/log_printer.h"

#include <csignal>
#include <fcntl.h>
#include <map>

#include "collector/store/time_index.h"
#include "tests/support/scratch.h"

namespace muster::report {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

const plan::WallTime kStart(1'700'000'000s);  // 2023-11-14T22:13:20Z

// Appends to streams at times that the test says, and prints them.
class LogPrinterTest : public test::ScratchTest {
 protected:
  struct Stream {
    fs::path file;
    store::TimeIndexWriter times;
    std::uint64_t size = 0;
  };

  Stream& stream(const std::string& name) {
    const auto found = streams_.find(name);
    if (found != streams_.end()) return found->second;
    const fs::path file = scratch() / (name + ".log");
    return streams_.emplace(name, Stream{file, store::TimeIndexWriter(store::time_index_of(file))})
        .first->second;
  }

  void at(std::chrono::milliseconds time, const std::string& name, std::string_view bytes) {
    Stream& to = stream(name);
    to.times.note(to.size, kStart + time);
    append(to.file, bytes);
    to.size += bytes.size();
  }

  static void append(const fs::path& file, std::string_view bytes) {
    std::ofstream(file, std::ios::binary | std::ios::app) << bytes;
  }

  LogSource source(const std::string& name, bool to_stderr = false) {
    return {stream(name).file, "[" + name + "] ", to_stderr, false};
  }

  // What is printed on stdout; stderr is in error_output_.
  std::string print(std::vector<LogSource> sources, LogOptions options = {}) {
    const Fd out = *open_file(scratch() / "out", O_RDWR | O_CREAT | O_TRUNC);
    const Fd err = *open_file(scratch() / "err", O_RDWR | O_CREAT | O_TRUNC);
    auto printer = LogPrinter::create(std::move(sources), options, out.get(), err.get());
    EXPECT_TRUE(printer);
    printer->print_stored();
    EXPECT_EQ(printer->output_failure(), 0);
    input_failure_ = printer->input_failure();
    error_output_ = read(scratch() / "err");
    return read(scratch() / "out");
  }

  std::string merged() {
    LogOptions options;
    options.merge = true;
    return print({source("a"), source("b")}, options);
  }

  std::map<std::string, Stream> streams_;
  std::string error_output_;
  std::optional<Error> input_failure_;
};

TEST_F(LogPrinterTest, PrintsOneStreamAfterTheOther) {
  at(5ms, "a", "one\ntwo\n");
  at(0ms, "b", "three");
  EXPECT_EQ(print({source("a"), source("b", true)}), "[a] one\n[a] two\n");
  EXPECT_EQ(error_output_, "[b] three\n");
  EXPECT_EQ(print({source("a"), source("none")}), "[a] one\n[a] two\n") << "a file may be missing";
  EXPECT_EQ(input_failure_, std::nullopt);
}

TEST_F(LogPrinterTest, AFileThatCannotBeReadIsAnError) {
  fs::create_directory(scratch() / "a.log");
  EXPECT_EQ(print({source("a")}), "");
  ASSERT_TRUE(input_failure_);
  EXPECT_EQ(input_failure_->message,
            "reading " + (scratch() / "a.log").string() + ": Is a directory");
}

TEST_F(LogPrinterTest, MergesLinesInTheOrderOfTheirTimes) {
  at(0ms, "a", "a0\n");
  at(10ms, "b", "b10\n");
  at(20ms, "a", "a20\na20 too\n");
  at(30ms, "b", "b30\n");
  at(40ms, "b", "b40\n");
  at(50ms, "a", "a50\n");
  EXPECT_EQ(merged(), "[a] a0\n[b] b10\n[a] a20\n[a] a20 too\n[b] b30\n[b] b40\n[a] a50\n");
}

TEST_F(LogPrinterTest, ALineBelongsToTheTimeOfItsLastByte) {
  at(0ms, "a", "slow ");
  at(10ms, "b", "quick\n");
  at(20ms, "a", "line\n");
  EXPECT_EQ(merged(), "[b] quick\n[a] slow line\n");
}

TEST_F(LogPrinterTest, OneTimeKeepsTheOrderOfTheSources) {
  for (const char* name : {"b", "a"}) at(0ms, name, "x\n");
  EXPECT_EQ(merged(), "[a] x\n[b] x\n");
}

TEST_F(LogPrinterTest, AClockThatGoesBackDoesNotTurnAStreamAround) {
  at(10ms, "a", "first\n");
  at(-1h, "a", "second\n");
  at(11ms, "b", "other\n");
  EXPECT_EQ(merged(), "[a] first\n[a] second\n[b] other\n");
}

TEST_F(LogPrinterTest, AnUnfinishedLineComesLast) {
  at(0ms, "a", "unfinished");
  at(10ms, "b", "done\n");
  EXPECT_EQ(merged(), "[b] done\n[a] unfinished\n");
}

TEST_F(LogPrinterTest, MergesManyStreamsOfManyLines) {
  std::vector<LogSource> sources;
  std::string expected;
  for (int rank = 0; rank < 50; ++rank) sources.push_back(source(std::to_string(rank)));
  for (int i = 0; i < 2000; ++i) {
    const std::string name = std::to_string(i * 7 % 50);
    at(i * 2ms, name, std::to_string(i) + "\n");
    expected += "[" + name + "] " + std::to_string(i) + "\n";
  }
  LogOptions options;
  options.merge = true;
  EXPECT_EQ(print(sources, options), expected);
}

TEST_F(LogPrinterTest, TimestampsAreOfTheLine) {
  at(0ms, "a", "one\nslow ");
  at(1500ms, "a", "line\n");
  append(scratch() / "b.log", "unknown\n");
  LogOptions options;
  options.timestamps = true;
  EXPECT_EQ(print({source("a"), source("b")}, options),
            "2023-11-14T22:13:20.000000Z [a] one\n"
            "2023-11-14T22:13:21.500000Z [a] slow line\n"
            "- [b] unknown\n");
}

TEST_F(LogPrinterTest, SinceAndUntilTakeWholeLines) {
  at(0ms, "a", "zero\nten ");
  at(10ms, "a", "goes on\n");
  at(20ms, "a", "twenty\nthirty ");
  at(30ms, "a", "goes on\nthe end");
  const auto between = [&](std::optional<int> since, std::optional<int> until) {
    LogOptions options;
    if (since) options.since = kStart + *since * 1ms;
    if (until) options.until = kStart + *until * 1ms;
    return print({source("a")}, options);
  };
  const std::string zero = "[a] zero\n";
  const std::string ten = "[a] ten goes on\n";
  const std::string twenty = "[a] twenty\n";
  const std::string thirty = "[a] thirty goes on\n";
  const std::string end = "[a] the end\n";
  EXPECT_EQ(between(std::nullopt, std::nullopt), zero + ten + twenty + thirty + end);
  EXPECT_EQ(between(0, std::nullopt), zero + ten + twenty + thirty + end);
  EXPECT_EQ(between(1, std::nullopt), ten + twenty + thirty + end);
  EXPECT_EQ(between(10, std::nullopt), ten + twenty + thirty + end);
  EXPECT_EQ(between(15, std::nullopt), twenty + thirty + end);
  EXPECT_EQ(between(30, std::nullopt), thirty + end);
  EXPECT_EQ(between(31, std::nullopt), "");
  EXPECT_EQ(between(std::nullopt, -1), "");
  EXPECT_EQ(between(std::nullopt, 0), zero);
  EXPECT_EQ(between(std::nullopt, 25), zero + ten + twenty);
  EXPECT_EQ(between(5, 25), ten + twenty);
  EXPECT_EQ(between(std::nullopt, 30), zero + ten + twenty + thirty + end);
}

TEST_F(LogPrinterTest, WithoutAnIndexNothingIsLeftOutThatMayBeMeant) {
  append(stream("a").file, "one\ntwo\n");  // just now
  LogOptions options;
  options.since = std::chrono::system_clock::now() - 1h;
  EXPECT_EQ(print({source("a")}, options), "[a] one\n[a] two\n");
  options.since = std::chrono::system_clock::now() + 1h;
  EXPECT_EQ(print({source("a")}, options), "") << "it has not changed since";
  options = {};
  options.until = kStart;
  EXPECT_EQ(print({source("a")}, options), "") << "it is younger";
}

TEST_F(LogPrinterTest, TailCountsLinesOfEachStream) {
  at(0ms, "a", "1\n2\n3\n");
  at(0ms, "b", "4\n\n5");
  const auto tail = [&](std::uint64_t count) {
    LogOptions options;
    options.tail = count;
    return print({source("a"), source("b")}, options);
  };
  EXPECT_EQ(tail(0), "");
  EXPECT_EQ(tail(1), "[a] 3\n[b] 5\n");
  EXPECT_EQ(tail(2), "[a] 2\n[a] 3\n[b] \n[b] 5\n");
  EXPECT_EQ(tail(9), "[a] 1\n[a] 2\n[a] 3\n[b] 4\n[b] \n[b] 5\n");
}

TEST_F(LogPrinterTest, TailFindsItsPlaceInALongFile) {
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += std::to_string(i) + "\n";
  at(0ms, "a", lines);
  LogOptions options;
  options.tail = 60'000;
  options.raw = true;
  EXPECT_EQ(print({source("a")}, options), lines.substr(lines.find("\n40000\n") + 1));
}

TEST_F(LogPrinterTest, LinesAreSafeAndRawBytesAreThemselves) {
  const std::string bytes("\x1b]0;title\a\xff\0end\r\n", 17);
  at(0ms, "a", bytes);
  EXPECT_EQ(print({source("a")}), "[a] ^[]0;title^G\\xff^@end\n");
  LogOptions options;
  options.raw = true;
  EXPECT_TRUE(print({source("a")}, options) == bytes);
}

TEST_F(LogPrinterTest, LogsOfOurOwnHaveTheirTimesInTheirLines) {
  append(scratch() / "events.jsonl",
         "{\"time\":\"2023-11-14T22:13:20.000000Z\",\"event\":\"x\"}\n"
         "{\"time\":\"2023-11-14T22:13:20.020000Z\",\"event\":\"y\"}\n");
  append(scratch() / "host.log",
         "2023-11-14T22:13:20.010000Z one\n  goes on\n2023-11-14T22:13:20.030000Z two\n");
  const LogSource events{scratch() / "events.jsonl", "[e] ", false, true};
  const LogSource log{scratch() / "host.log", "[h] ", false, true};
  LogOptions options;
  options.merge = true;
  options.since = kStart + 1ms;
  EXPECT_EQ(print({events, log}, options),
            "[h] 2023-11-14T22:13:20.010000Z one\n[h]   goes on\n"
            "[e] {\"time\":\"2023-11-14T22:13:20.020000Z\",\"event\":\"y\"}\n"
            "[h] 2023-11-14T22:13:20.030000Z two\n");
}

TEST_F(LogPrinterTest, AReaderThatHasSeenEnoughIsTold) {
  at(0ms, "a", std::string(1'000'000, 'x') + "\n");
  Pipe pipe = std::move(*make_pipe());
  pipe.read_end.reset();
  std::signal(SIGPIPE, SIG_IGN);
  auto printer = LogPrinter::create({source("a")}, {}, pipe.write_end.get(), 2);
  printer->print_stored();
  EXPECT_EQ(printer->output_failure(), EPIPE);
}

}  // namespace
}  // namespace muster::report
