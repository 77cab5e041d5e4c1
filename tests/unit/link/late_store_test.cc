#include "launcher/link/late_store.h"

#include <gtest/gtest.h>

#include "tests/unit/replication/memory_store.h"

namespace muster::link {
namespace {

using namespace replication;  // NOLINT: every type here is of it

class LateStoreTest : public testing::Test {
 protected:
  // "" when it went well.
  static std::string code_of(const Result<>& result) {
    if (result) return "";
    return result.error().code == ErrorCode::kRunDirectory ? "not now" : "another error";
  }

  void have_a_store() {
    auto store = std::make_unique<MemoryStore>([](std::function<void()> call) { call(); });
    memory_ = store.get();
    late_.store_into(std::move(store));
  }

  std::optional<Result<std::vector<DurableMark>>> sync() {
    std::optional<Result<std::vector<DurableMark>>> answer;
    late_.sync([&](Result<std::vector<DurableMark>> marks) { answer.emplace(std::move(marks)); });
    return answer;
  }

  LateStore late_;
  MemoryStore* memory_ = nullptr;
  store::Writer writer_;
};

// Whoever sends tries again after that error, and after no other.
TEST_F(LateStoreTest, BeforeTheRunHasADirectoryEverythingIsNotNow) {
  writer_.run_id = "r";
  EXPECT_EQ(code_of(late_.admit(writer_)), "not now");
  late_.attach(writer_);
  late_.detach(writer_);
  late_.clock(writer_, {});
  late_.close(1);
  const auto opened = late_.open(writer_, {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kRunDirectory);
  EXPECT_EQ(code_of(late_.append(1, 0, "x")), "not now");
  EXPECT_EQ(code_of(late_.append_zeros(1, 0, 5)), "not now");
  EXPECT_EQ(code_of(late_.add_gap(1, {})), "not now");
  EXPECT_EQ(code_of(late_.finish(1, {})), "not now");
  EXPECT_EQ(code_of(late_.tombstone(writer_, "x")), "not now");
  EXPECT_FALSE(late_.is_full());
  const auto marks = sync();
  ASSERT_TRUE(marks);
  EXPECT_FALSE(*marks);  // nothing is durable
}

TEST_F(LateStoreTest, ThenItIsThatStore) {
  have_a_store();
  writer_.run_id = "r";
  EXPECT_EQ(code_of(late_.admit(writer_)), "");
  StreamDescription stream;
  stream.path = "ranks/00001/attempt-0/stdout.log";
  const auto opened = late_.open(writer_, stream);
  ASSERT_TRUE(opened);
  EXPECT_EQ(code_of(late_.append(opened->handle, 0, "ab")), "");
  EXPECT_EQ(code_of(late_.append_zeros(opened->handle, 2, 2)), "");
  EXPECT_EQ(memory_->streams().at("r/" + stream.path).bytes, std::string("ab\0\0", 4));
  const auto marks = sync();
  ASSERT_TRUE(marks && *marks);
  ASSERT_EQ((**marks).size(), 1U);
  EXPECT_EQ((**marks)[0].offset, 4U);
  EXPECT_EQ(code_of(late_.finish(opened->handle, {})), "");
  EXPECT_TRUE(memory_->streams().at("r/" + stream.path).complete);
}

}  // namespace
}  // namespace muster::link
