#include "collector/store/recovery.h"

#include "collector/store/digest.h"
#include "collector/store/group_sync.h"
#include "collector/store/lost_streams.h"
#include "collector/store/verify.h"
#include "collector/store/writer.h"
#include "tests/support/scratch.h"

namespace muster::store {
namespace {

namespace fs = std::filesystem;

const std::string kStdout = "ranks/00000/attempt-0/stdout.log";

class RecoveryTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    ASSERT_TRUE(RunDirectory::create(scratch(), "run", 1));
  }
  RunDirectory run() const { return RunDirectory(scratch() / "run"); }
  void store(const std::string& path, const std::string& bytes) { write("run/" + path, bytes); }

  // As if the machine had been started anew since.
  void restart_machine() {
    auto state = read_durable_state(run());
    ASSERT_TRUE(state);
    state->boot_id = "another";
    ASSERT_TRUE(write_durable_state(run(), *state));
  }
  StreamCheck check_of(const std::string& path) {
    const auto all = verify(run());
    EXPECT_TRUE(all);
    for (const StreamCheck& stream : all->streams) {
      if (stream.path == path) return stream;
    }
    ADD_FAILURE() << path << " is not judged";
    return {};
  }
};

TEST_F(RecoveryTest, ASyncSaysHowFarEveryStreamIs) {
  GroupSync sync(run());
  store(kStdout, "hello");
  store("events.jsonl", "{}\n");
  EXPECT_EQ(sync.bytes_in_doubt(), 8U);
  ASSERT_TRUE(sync.sync());
  EXPECT_EQ(sync.bytes_in_doubt(), 0U);
  auto state = read_durable_state(run());
  ASSERT_TRUE(state);
  EXPECT_EQ(state->boot_id, this_boot());
  EXPECT_EQ(state->streams, (decltype(state->streams){{"events.jsonl", 3}, {kStdout, 5}}));
  for (int i = 0; i < 40; ++i) store("launcher/" + std::to_string(i) + ".log", "x");
  ASSERT_TRUE(sync.sync()) << "as one file system";
  EXPECT_EQ(read_durable_state(run())->streams.size(), 42U);
}

TEST_F(RecoveryTest, AfterAKillEverythingIsThere) {
  store(kStdout, "hello");
  ASSERT_TRUE(GroupSync(run()).sync());
  store(kStdout, "hello, world");
  EXPECT_EQ(check_of(kStdout).uncertain, 0U);
  EXPECT_EQ(end_lost_streams(run()).value(), 1);
  const StreamCheck check = check_of(kStdout);
  EXPECT_EQ(check.state, CheckState::kOk);
  EXPECT_EQ(check.stored, 12U);
  EXPECT_EQ(check.uncertain, 0U);
}

TEST_F(RecoveryTest, AfterTheMachinesEndOnlyWhatWasSyncedIsCertain) {
  store(kStdout, "hello\n");
  store("events.jsonl", "{\"event\":1}\n");
  ASSERT_TRUE(GroupSync(run()).sync());
  store(kStdout, "hello\nworld" + std::string(4096 - 11, '.') + std::string(8192, '\0') + "end\n");
  store("events.jsonl", "{\"event\":1}\n{\"event\":2}\n{\"ev\0\n{\"event\":4}\n");
  write("run/.muster/incoming/half", "copied");
  restart_machine();

  StreamCheck check = check_of(kStdout);
  EXPECT_EQ(check.state, CheckState::kEndsUnknown);
  EXPECT_EQ(check.uncertain, 3 * 4096U + 4 - 6);
  EXPECT_EQ(end_lost_streams(run()).value(), 1);
  check = check_of(kStdout);
  EXPECT_EQ(check.state, CheckState::kOk) << check.problem;
  EXPECT_EQ(check.missing, 8192U) << "what the disk forgot is no zeros of a rank";
  EXPECT_TRUE(check.missing_more);
  EXPECT_EQ(check.uncertain, 4096U + 4 - 6);
  EXPECT_EQ(check_of("events.jsonl").length, 24U) << "cut before the torn record";
  EXPECT_EQ(check_of("events.jsonl").uncertain, 12U);
  EXPECT_FALSE(fs::exists(run().incoming()));
  EXPECT_EQ(end_lost_streams(run()).value(), 0);
}

TEST_F(RecoveryTest, AFileThatIsShorterThanItWasForCertainIsWrong) {
  store(kStdout, "hello");
  ASSERT_TRUE(GroupSync(run()).sync());
  store(kStdout, "hell");
  EXPECT_EQ(check_of(kStdout).problem, "its file has 4 bytes, and had 5 on the disk");
}

TEST_F(RecoveryTest, RecordsBehindATornOneAreNotBelieved) {
  store(kStdout, "hello");
  StreamLedger ledger(run().streams_jsonl());
  ledger.gap(kStdout, {5, 9, "disk_full"});
  ASSERT_TRUE(GroupSync(run()).sync());
  const std::string sound = read(run().streams_jsonl());
  store(".muster/streams.jsonl", sound + std::string(20, '\0') + "\n" + R"({"stream":")" + kStdout +
                                     R"(","end":{"length":9,"stored":9,"xxh3":""}})" + "\n");
  EXPECT_EQ(Recovery(run()).read_streams(run())->at(kStdout).end->length, 9U);
  restart_machine();
  EXPECT_FALSE(Recovery(run()).read_streams(run())->at(kStdout).end);
  EXPECT_EQ(check_of(kStdout).state, CheckState::kEndsUnknown);
  EXPECT_EQ(end_lost_streams(run()).value(), 1);
  EXPECT_TRUE(read(run().streams_jsonl()).starts_with(sound + "{"));
}

TEST_F(RecoveryTest, DamagedStateIsNeverTakenForAnother) {
  for (const char* text :
       {"", "{", "[]", "7", "\xff", R"({"run_id":"r","writer":"w"})",
        R"({"run_id":"r","writer":"w","epoch":-1})", R"({"run_id":"r","writer":"w","epoch":1e300})",
        R"({"run_id":"r","writer":"w","epoch":"1"})", R"({"run_id":7,"writer":"w","epoch":1})",
        R"({"run_id":"r","writer":"w","epoch":1,"boot_id":[]})"}) {
    store(".muster/writer.json", text);
    EXPECT_FALSE(read_writer(run())) << text;
    store(".muster/durable.json", text);
    EXPECT_FALSE(Recovery(run()).machine_ended()) << text;
    EXPECT_FALSE(Recovery(run()).durable(kStdout)) << text;
  }
}

TEST(SoundLength, EndsBeforeTheFirstTornRecord) {
  EXPECT_EQ(sound_length("", 0), 0U);
  EXPECT_EQ(sound_length("{}\n{}\n", 0), 6U);
  EXPECT_EQ(sound_length("{}\n{}\n{", 0), 6U);
  EXPECT_EQ(sound_length("{}\n{\n{}\n", 0), 3U);
  EXPECT_EQ(sound_length("x\n{\n{}\n", 4), 7U) << "what was durable is not looked at";
  EXPECT_EQ(sound_length("{}\n", 100), 3U);
  EXPECT_EQ(sound_length("[]\n", 0), 0U);
}

}  // namespace
}  // namespace muster::store
