// What members store comes into the run directory of the head itself.
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>

#include "base/files.h"
#include "collector/outputs/publisher.h"
#include "collector/replication/store_sender.h"
#include "collector/store/digest.h"
#include "collector/store/file_manifest.h"
#include "collector/store/group_sync.h"
#include "collector/store/stream_ledger.h"
#include "collector/store/verify.h"
#include "tests/unit/link/link_fixture.h"

namespace muster::link {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string stdout_of(int rank) {
  return store::RunDirectory::attempt_directory(rank, 0) + "/stdout.log";
}

// A launcher's run directory, written as a launcher does.
class Store {
 public:
  Store(const std::filesystem::path& parent, int node_rank)
      : node_rank_(node_rank),
        run_(store::RunDirectory::create(parent, "run", 2).value()),
        ledger_(run_.streams_jsonl()) {}

  const store::RunDirectory& run() const { return run_; }

  void put_stream(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((run_.root() / path).parent_path());
    std::ofstream(run_.root() / path, std::ios::app | std::ios::binary) << text;
  }
  void end_stream(const std::string& path) {
    const std::string bytes = *read_file(run_.root() / path);
    ledger_.end(path, {bytes.size(), bytes.size(), store::digest_of(bytes)});
    ASSERT_TRUE(ledger_.flush());
  }
  // As outputs of ranks come: through a publisher.
  void publish(const std::filesystem::path& from, const std::string& path,
               std::shared_ptr<store::OutputNames> names = nullptr) {
    if (!publisher_) {
      outputs::PublisherOptions options;
      options.owner_rank = node_rank_;
      options.names = std::move(names);
      publisher_.emplace(outputs::Publisher::open(run_, options).value());
    }
    const auto root = store::SafeRoot::open(from.string()).value();
    outputs::FoundFile file;
    file.path = path;
    struct stat info {};
    ASSERT_EQ(::stat((from / path.substr(path.find('/') + 1)).c_str(), &info), 0);
    file.facts = outputs::facts_of(info);
    outputs::Work work;
    work.file = file;
    work.kind = outputs::Work::Kind::kPublish;
    outputs::Publisher::Source source;
    source.name = path.substr(0, path.find('/'));
    source.root = &root;
    const auto done = publisher_->publish({work}, source, [] { return Result<>(); });
    ASSERT_EQ(done.front().how, outputs::Published::How::kStored) << done.front().error.message;
  }

 private:
  int node_rank_;
  store::RunDirectory run_;
  store::StreamLedger ledger_;
  std::optional<outputs::Publisher> publisher_;
};

class LinkStoreTest : public LinkTest {
 protected:
  LinkStoreTest() : ours_(scratch() / "head", 0), theirs_(scratch() / "member", 1) {
    head_ = open(head_settings(2));
    member_ = member(1, 2, *head_);
  }

  void put_file(const std::string& node, const std::string& name, const std::string& text) {
    const auto path = scratch() / node / "out" / name;
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(replace_file(path, text));
  }
  std::filesystem::path folder(const std::string& node) { return scratch() / node / "out"; }

  std::unique_ptr<replication::StoreSender> send() {
    replication::StoreSenderSettings settings;
    settings.client = replication::ClientSettings{
        .collector = head_->address(),
        .keys = keys(token_),
        .insecure = false,
        .writer = {
            .run_id = "run", .name = "node-1", .node = "node-b", .lowest_rank = 1, .epoch = 1}};
    return replication::StoreSender::start(theirs_.run(), std::move(settings)).value();
  }
  void end_of(Store& store, std::initializer_list<std::string> streams) {
    for (const std::string& path : streams) store.end_stream(path);
  }
  std::string here(const std::string& path) {
    return read_file(ours_.run().root() / path).value_or("(none)");
  }

  Store ours_;
  Store theirs_;
  std::unique_ptr<HeadLink> head_;
  std::unique_ptr<MemberLink> member_;
};

TEST_F(LinkStoreTest, StreamsOfAllNodesAreOneSoundRecord) {
  ours_.put_stream(stdout_of(0), "of node 0\n");
  theirs_.put_stream(stdout_of(1), std::string(3U << 20, 'x') + "\n");
  theirs_.put_stream("events.jsonl", "{}\n");  // the head has events of its own
  auto sender = send();
  // It may come before the head has a directory.
  std::this_thread::sleep_for(50ms);
  ASSERT_TRUE(head_->store_into(ours_.run().root(), "run"));
  theirs_.put_stream(stdout_of(1), "and more\n");
  sender->grown();
  end_of(theirs_, {stdout_of(1), "events.jsonl"});
  sender->close_streams();
  sender->close();
  ASSERT_TRUE(wait_for([&] { return sender->progress().complete; }));
  EXPECT_FALSE(head_->replicated(1));
  protocol::MemberMessage message;
  message.mutable_replicated();
  member_->send(message);
  EXPECT_TRUE(wait_for([&] { return head_->replicated(1) && head_->replicated(-1); }));

  end_of(ours_, {stdout_of(0)});
  EXPECT_EQ(here(stdout_of(1)), std::string(3U << 20, 'x') + "\nand more\n");
  EXPECT_EQ(here("events.jsonl"), "(none)");
  store::GroupSync sync(ours_.run());
  ASSERT_TRUE(sync.sync());
  const auto check = store::verify(ours_.run());
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_THAT(check->problems(), IsEmpty());
  std::size_t ok = 0;
  for (const auto& stream : check->streams) {
    if (stream.state == store::CheckState::kOk && stream.length > 0) ++ok;
  }
  EXPECT_EQ(ok, 2U);
}

TEST_F(LinkStoreTest, AStreamOfTheHeadsOwnIsNobodyElses) {
  ASSERT_TRUE(head_->store_into(ours_.run().root(), "run"));
  ours_.put_stream(stdout_of(0), "of node 0\n");
  theirs_.put_stream(stdout_of(0), "of somebody who says so\n");
  ASSERT_TRUE(replace_file(theirs_.run().run_json(), R"({"status": "completed"})"));
  auto sender = send();
  end_of(theirs_, {stdout_of(0)});
  sender->close_streams();
  sender->close();
  ASSERT_TRUE(wait_for([&] { return sender->progress().complete; }));
  EXPECT_EQ(here(stdout_of(0)), "of node 0\n");
  EXPECT_EQ(here("run.json"), "(none)");
}

TEST_F(LinkStoreTest, OfANodeThatIsLostTheRecordSaysThatMoreIsMissing) {
  ASSERT_TRUE(head_->store_into(ours_.run().root(), "run"));
  ours_.put_stream(stdout_of(0), "of node 0\n");
  end_of(ours_, {stdout_of(0)});
  theirs_.put_stream(stdout_of(1), "some of it\n");
  auto sender = send();
  ASSERT_TRUE(wait_for([&] { return here(stdout_of(1)) == "some of it\n"; }));
  ASSERT_TRUE(head_->give_up(1));
  theirs_.put_stream(stdout_of(1), "and more that comes too late\n");
  sender->grown();
  end_of(theirs_, {stdout_of(1)});
  sender.reset();
  sender = send();
  ASSERT_TRUE(wait_for([&] { return sender->progress().superseded; }));
  EXPECT_EQ(here(stdout_of(1)), "some of it\n");
  const auto check = store::verify(ours_.run());
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_THAT(check->problems(), IsEmpty());
  const auto lost = std::find_if(check->streams.begin(), check->streams.end(),
                                 [](const auto& one) { return one.path == stdout_of(1); });
  ASSERT_NE(lost, check->streams.end());
  EXPECT_TRUE(lost->missing_more);
  EXPECT_EQ(lost->state, store::CheckState::kOk);
}

TEST_F(LinkStoreTest, AnotherRunIsNotTaken) {
  ASSERT_TRUE(head_->store_into(ours_.run().root(), "another"));
  auto sender = send();
  ASSERT_TRUE(wait_for([&] { return sender->progress().superseded; }));
  EXPECT_THAT(sender->progress().superseded_by, HasSubstr("no other"));
}

// Whoever comes first: the head's file has the name.
TEST_F(LinkStoreTest, AFileOfTheHeadsOwnKeepsItsName) {
  ASSERT_TRUE(head_->store_into(ours_.run().root(), "run"));
  put_file("head", "first.txt", "the head's");
  put_file("head", "second.txt", "the head's");
  put_file("head", "same.txt", "the same");
  put_file("member", "first.txt", "the member's");
  put_file("member", "second.txt", "the member's");
  put_file("member", "same.txt", "the same");
  put_file("member", "alone.txt", "the member's");
  put_file("member", "folder", "the member has a file where the head has a folder");
  put_file("head", "folder/inner.txt", "the head's");
  ours_.publish(folder("head"), "outputs/first.txt", head_->output_names());
  ours_.publish(folder("head"), "outputs/same.txt", head_->output_names());
  for (const char* name : {"first.txt", "second.txt", "same.txt", "alone.txt", "folder"}) {
    theirs_.publish(folder("member"), std::string("outputs/") + name);
  }
  auto sender = send();
  ASSERT_TRUE(wait_for([&] {
    return here("outputs/alone.txt") != "(none)" && here("outputs/second.txt") != "(none)" &&
           here("outputs/folder") != "(none)";
  }));
  ours_.publish(folder("head"), "outputs/second.txt", head_->output_names());
  ours_.publish(folder("head"), "outputs/folder/inner.txt", head_->output_names());
  sender->close_streams();
  sender->close();
  ASSERT_TRUE(wait_for([&] { return sender->progress().complete; }));
  EXPECT_EQ(here("outputs/first.txt"), "the head's");
  EXPECT_EQ(here("outputs/first.txt.rank-1"), "the member's");
  EXPECT_EQ(here("outputs/second.txt"), "the head's");
  EXPECT_EQ(here("outputs/second.txt.rank-1"), "the member's");
  EXPECT_EQ(here("outputs/same.txt"), "the same");
  EXPECT_EQ(here("outputs/same.txt.rank-1"), "(none)");
  EXPECT_EQ(here("outputs/alone.txt"), "the member's");
  EXPECT_EQ(here("outputs/folder/inner.txt"), "the head's");
  EXPECT_THAT(here("outputs/folder.rank-1"), HasSubstr("the member has a file"));
  const auto check = store::verify(ours_.run());
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_THAT(check->problems(), IsEmpty());
  for (const auto& file : check->files) {
    EXPECT_EQ(file.state, store::CheckState::kOk) << file.path << " " << to_text(file.state);
  }
  const auto files = store::read_manifest(ours_.run().files_jsonl());
  ASSERT_TRUE(files);
  EXPECT_EQ(files->at("outputs/first.txt").conflicts.front().path, "outputs/first.txt.rank-1");
  EXPECT_EQ(files->at("outputs/second.txt").conflicts.front().path, "outputs/second.txt.rank-1");
  EXPECT_EQ(files->at("outputs/second.txt.rank-1").stored->writer, "node-1");
}

}  // namespace
}  // namespace muster::link
