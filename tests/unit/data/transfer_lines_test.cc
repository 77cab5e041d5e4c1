// What the transfer program is told and says, and what rclone says to it.

#include <chrono>
#include <future>

#include <gmock/gmock.h>

#include "launcher/data/transfer_outcome.h"
#include "launcher/data/transfer_progress.h"
#include "launcher/data/transfer_rclone.h"
#include "launcher/data/transfer_spec.h"

namespace muster::data {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Phase = TransferState::Phase;

TEST(TransferLines, ASpecIsReadBackAsItWas) {
  TransferSpec spec;
  spec.direction = TransferDirection::kUpload;
  spec.by = TransferBy::kRclone;
  spec.type = TransferType::kFile;
  spec.name = "model";
  spec.source = "/runs/x/outputs/model";
  spec.target = "azure:models";
  spec.shown = "datastore://azure/models";
  spec.include = {"*.pt"};
  spec.overwrite = true;
  spec.rclone = {"rclone", "--config", "/etc/rclone.conf"};
  spec.stall_timeout = 5s;
  spec.on_behalf_of = "run x";
  const auto read = transfer_spec_from_json(to_json(spec));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(to_json(*read), to_json(spec));
  EXPECT_EQ(read->stall_timeout, 5s);
  EXPECT_FALSE(transfer_spec_from_json("{}"));
  EXPECT_FALSE(transfer_spec_from_json("nonsense"));
}

TEST(TransferLines, ProgressIsReadBackAndSaidInOneLine) {
  TransferState state;
  state.phase = Phase::kCopying;
  state.files = 10'000;
  state.files_done = 3'120;
  state.bytes = std::uint64_t{4} << 30;
  state.bytes_done = std::uint64_t{1} << 30;
  state.bytes_per_second = 310 << 20;
  state.at = "a\xff.bin";  // names are bytes
  const auto parsed = parse_transfer_line(progress_line(state));
  ASSERT_TRUE(parsed.state);
  EXPECT_EQ(describe(*parsed.state), "3,120 of 10,000 files, 1.0 GiB of 4.0 GiB, 310.0 MiB/s");
  EXPECT_FALSE(parse_transfer_line("not ours").state);
}

TEST(TransferLines, TheEndIsReadBack) {
  TransferOutcome outcome;
  outcome.content = "/cache/x/content";
  outcome.files = 1;
  outcome.bytes = 2 << 20;
  outcome.kept_bytes = 1 << 20;
  outcome.refused = {"a"};
  const auto parsed = parse_transfer_line(outcome_line(outcome));
  ASSERT_TRUE(parsed.outcome);
  EXPECT_EQ(parsed.outcome->content, "/cache/x/content");
  EXPECT_THAT(parsed.outcome->refused, ElementsAre("a"));
  EXPECT_EQ(describe(*parsed.outcome), "1 file, 2.0 MiB (1.0 MiB of it were there already)");
  const auto failed = parse_transfer_line(failure_line({ErrorCode::kData, "no", "do", {}}));
  ASSERT_TRUE(failed.failure);
  EXPECT_EQ(failed.failure->message, "no");
}

TEST(TransferLines, WhatDoesNotMoveIsNoticedAndWaitingIsNoStall) {
  TransferProgress progress;
  progress.phase(Phase::kWaiting, "run x");
  std::promise<TransferState> stalled;
  auto state = stalled.get_future();
  const TransferWatch watch(
      progress, 100ms, [](const TransferState&) {},
      [&](const TransferState& at) { stalled.set_value(at); });
  EXPECT_EQ(state.wait_for(400ms), std::future_status::timeout);
  progress.phase(Phase::kCopying);
  progress.at("big.bin");
  ASSERT_EQ(state.wait_for(30s), std::future_status::ready);
  EXPECT_EQ(state.get().at, "big.bin");
}

TEST(TransferLines, RclonesListIsReadWithItsHashes) {
  const auto manifest = parse_rclone_list(
      R"([{"Path":"sub","Name":"sub","Size":-1,"ModTime":"2026-11-23T06:00:00Z","IsDir":true},
          {"Path":"sub/b","Name":"b","Size":3,"ModTime":"2026-11-23T06:00:00.5Z","IsDir":false,
           "Hashes":{"md5":"900150983cd24fb0d6963f7d28e17f72"}},
          {"Path":"new","Name":"new","Size":1,"ModTime":"2036-11-23T06:00:00Z","IsDir":false}])",
      "md5", 1'800'000'000'000'000'000);
  ASSERT_TRUE(manifest) << manifest.error().message;
  ASSERT_EQ(manifest->entries.size(), 3U);
  EXPECT_EQ(manifest->entries[0].path, "new");
  EXPECT_EQ(manifest->entries[0].mtime_ns, 0);  // of the future: the store has no times
  EXPECT_EQ(manifest->entries[2].hash, "md5:900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(manifest->entries[2].mtime_ns % 1'000'000'000, 500'000'000);
}

TEST(TransferLines, ARemotesNamesCannotLeaveTheFolder) {
  for (const char* name : {"../x", "/etc/passwd", "a/../../x", ""}) {
    const std::string text = std::string(R"([{"Path":")") + name + R"(","Size":1}])";
    EXPECT_FALSE(parse_rclone_list(text, "", 1)) << name;
  }
  EXPECT_TRUE(parse_rclone_list(R"([{"Path":"a..b/..c","Size":1}])", "", 1));
  EXPECT_FALSE(parse_rclone_list("[{]", "", 1));
}

TEST(TransferLines, RclonesWordsAreRead) {
  const auto stats =
      parse_rclone_line(R"({"level":"notice","msg":"…","stats":{"bytes":7,"transfers":2,)"
                        R"("transferring":[{"name":"a.bin"}]}})");
  EXPECT_TRUE(stats.has_stats);
  EXPECT_EQ(stats.bytes, 7U);
  EXPECT_EQ(stats.files, 2U);
  EXPECT_EQ(stats.at, "a.bin");
  EXPECT_EQ(parse_rclone_line(R"({"level":"error","msg":"Failed to copy","object":"x"})").message,
            "x: Failed to copy");
  EXPECT_EQ(parse_rclone_line("2026/11/23 12:41:22 Failed to lsjson: directory not found").message,
            "Failed to lsjson: directory not found");
  EXPECT_EQ(parse_rclone_line("2026/11/23 12:41:22 NOTICE: Config file not found").message, "");
}

TEST(TransferLines, OptionsOfMountsAreNotForCopies) {
  EXPECT_THAT(options_for_copies({"--vfs-cache-mode", "writes", "--transfers", "16",
                                  "--allow-other", "--dir-cache-time=5m", "--s3-no-check-bucket"}),
              ElementsAre("--transfers", "16", "--s3-no-check-bucket"));
}

}  // namespace
}  // namespace muster::data
