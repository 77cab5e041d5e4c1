#include "collector/replication/run_token.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/files.h"

namespace muster::replication {
namespace {

using testing::HasSubstr;

class RunTokenFile : public testing::Test {
 protected:
  TemporaryDirectory directory_ =
      TemporaryDirectory::create(testing::TempDir(), "muster-token").value();
  std::string path_ = directory_.path() / "token";

  void write(const std::string& text, mode_t mode = 0600) {
    ::unlink(path_.c_str());
    std::ofstream(path_) << text;
    ::chmod(path_.c_str(), mode);
  }
  std::string refusal(const std::string& source) {
    const auto keys = read_token(source);
    EXPECT_FALSE(keys) << source;
    EXPECT_EQ(keys ? ErrorCode::kInternal : keys.error().code, ErrorCode::kPermission);
    return keys ? "" : keys.error().message;
  }
};

TEST_F(RunTokenFile, HasNewTokensThatReadBack) {
  const std::string token = make_token();
  EXPECT_EQ(token.size(), 65U);
  EXPECT_NE(token, make_token());
  ASSERT_TRUE(write_token(path_, token));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const auto keys = read_token(path_);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->tls.bytes(), keys_of(token.substr(0, 64)).tls.bytes());
  EXPECT_NE(keys->client.bytes(), keys->server.bytes());
  EXPECT_NE(keys->client.bytes(), keys->tls.bytes());
}

TEST_F(RunTokenFile, IsNeverReplaced) {
  ASSERT_TRUE(write_token(path_, make_token()));
  const std::string before = read_file(path_).value();
  const auto again = write_token(path_, make_token());
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("exists"));
  EXPECT_EQ(read_file(path_).value(), before);
}

TEST_F(RunTokenFile, IsRefusedWhereOthersMayReadIt) {
  for (const mode_t mode : {0644U, 0640U, 0604U, 0660U}) {
    write(make_token(), mode);
    EXPECT_THAT(refusal(path_), HasSubstr("others may read"));
  }
}

TEST_F(RunTokenFile, IsRefusedWhereItCanBeGuessed) {
  const std::string half = make_token().substr(0, 32);
  for (const std::string& text :
       {std::string(), std::string("secret\n"), half, std::string(64, 'a'),
        std::string("QUJDREVGR0hJSktMTU5PUFFSU1RV")}) {
    write(text);
    EXPECT_THAT(refusal(path_), HasSubstr("32 random bytes"));
  }
  write(std::string(5000, 'x'));
  EXPECT_THAT(refusal(path_), HasSubstr("4096"));
}

TEST_F(RunTokenFile, MayBeBase64OrRawBytes) {
  write("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=\n");
  EXPECT_TRUE(read_token(path_));
  write(random_bytes(33) + "\xff");
  EXPECT_TRUE(read_token(path_));
}

TEST_F(RunTokenFile, IsNoFifoAndNoDirectory) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(refusal(path_), HasSubstr("no regular file"));
  EXPECT_THAT(refusal(directory_.path()), HasSubstr("no regular file"));
  EXPECT_THAT(refusal(path_ + ".missing"), HasSubstr("cannot be opened"));
}

TEST_F(RunTokenFile, MayComeThroughADescriptor) {
  auto pipe = make_pipe().value();
  const std::string token = make_token();
  ASSERT_TRUE(write_all(pipe.write_end, token));
  pipe.write_end.reset();
  const int fd = pipe.read_end.release();
  const auto keys = read_token("fd:" + std::to_string(fd));
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->server.bytes(), keys_of(token.substr(0, 64)).server.bytes());
  EXPECT_LT(::fcntl(fd, F_GETFD), 0) << "it is closed";
  EXPECT_THAT(refusal("fd:" + std::to_string(fd)), HasSubstr("no such descriptor"));
  EXPECT_THAT(refusal("fd:x"), HasSubstr("fd:N"));
}

TEST(Keys, DifferByTokenAndByPurpose) {
  EXPECT_EQ(hmac_sha256("key", "The quick brown fox jumps over the lazy dog").substr(0, 4),
            "\xf7\xbc\x83\xf4");
  EXPECT_EQ(derive_key("x", "a").bytes(), derive_key("x", "a").bytes());
  EXPECT_NE(derive_key("x", "a").bytes(), derive_key("x", "b").bytes());
  EXPECT_NE(derive_key("x", "a").bytes(), derive_key("y", "a").bytes());
}

}  // namespace
}  // namespace muster::replication
