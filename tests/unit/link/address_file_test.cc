// The file by which members find the head.
#include "launcher/link/address_file.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/support/scratch.h"

namespace muster::link {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kNonce = "0123456789abcdef0123456789abcdef";

protocol::InterfaceAddress address(const std::string& bytes, bool up, bool loopback,
                                   bool link_local) {
  protocol::InterfaceAddress made;
  made.set_address(bytes);
  made.set_is_up(up);
  made.set_is_loopback(loopback);
  made.set_is_link_local(link_local);
  return made;
}

HeadPlace example() {
  return {.nonce = kNonce, .job_id = "4711", .port = 29400, .hosts = {"10.0.0.5", "node-a"}};
}

TEST(HeadPlaceTest, IsReadAsItWasWritten) {
  const auto place = parse_head_place(to_text(example()));
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(place->nonce, kNonce);
  EXPECT_EQ(place->job_id, "4711");
  EXPECT_EQ(place->port, 29400);
  EXPECT_THAT(place->hosts, ElementsAre("10.0.0.5", "node-a"));
}

TEST(HeadPlaceTest, NamesWhatOthersCanReachFirst) {
  protocol::Join own;
  own.set_hostname("node-a");
  const std::string loopback("\x7f\0\0\1", 4);
  *own.add_addresses() = address(loopback, true, true, false);
  *own.add_addresses() =
      address(std::string("\xfd", 1) + std::string(15, '\1'), true, false, false);
  *own.add_addresses() = address("\x0a\1\1\5", true, false, false);
  *own.add_addresses() = address("\x0a\1\1\6", false, false, false);  // it is down
  *own.add_addresses() = address("\xa9\xfe\1\6", true, false, true);
  EXPECT_THAT(place_of(own, 1, kNonce).hosts,
              ElementsAre("10.1.1.5", "fd01:101:101:101:101:101:101:101", "node-a", "127.0.0.1"));
}

TEST(HeadPlaceTest, WhatIsCutOrMakesNoSenseIsNone) {
  const std::string whole = to_text(example());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_head_place(whole.substr(0, size))) << size;
  }
  for (const char* wrong :
       {"muster head 2\nend\n", "muster head 1\nnonce xyz\nport 1\nhost a\nend\n",
        "muster head 1\nnonce 0123456789abcdef0123456789abcdef\nport 65536\nhost a\nend\n",
        "muster head 1\nnonce 0123456789abcdef0123456789abcdef\nport 1\nend\n",
        "muster head 1\nnonce 0123456789abcdef0123456789abcdef\nport 1\nhost a b\nend\n",
        "muster head 1\nrun me\nend\n"}) {
    const auto place = parse_head_place(wrong);
    ASSERT_FALSE(place) << wrong;
    EXPECT_THAT(place.error().message, HasSubstr("no address file"));
  }
  std::string many = "muster head 1\nnonce " + kNonce + "\nport 1\n";
  for (int i = 0; i < 65; ++i) many += "host a\n";
  EXPECT_FALSE(parse_head_place(many + "end\n"));
}

class AddressFileTest : public test::ScratchTest {};

TEST_F(AddressFileTest, IsItsOwnersAloneAndWhole) {
  const auto path = scratch() / "shared" / "head";
  ASSERT_TRUE(write_head_place(path, example()));
  struct stat facts {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0600U);
  EXPECT_EQ(read_head_place(path)->nonce, kNonce);
  // Nothing of its making is left beside it.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path.parent_path()), {}), 1);
}

TEST_F(AddressFileTest, OneOfAnotherHeadIsNotRemoved) {
  const auto path = scratch() / "head";
  HeadPlace other = example();
  other.nonce[0] = 'f';
  ASSERT_TRUE(write_head_place(path, example()));
  ASSERT_TRUE(write_head_place(path, other));
  remove_head_place(path, kNonce);
  EXPECT_TRUE(std::filesystem::exists(path));
  remove_head_place(path, other.nonce);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(AddressFileTest, WhereNothingCanBeWrittenItIsSaid) {
  ASSERT_TRUE(replace_file(scratch() / "file", "x"));
  const auto written = write_head_place(scratch() / "file" / "head", example());
  ASSERT_FALSE(written);
}

}  // namespace
}  // namespace muster::link
