#include "rank_agent/core_dump.h"

#include <elf.h>
#include <sys/procfs.h>

#include <bit>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"

namespace muster::agent {
namespace {

using testing::HasSubstr;

const CrashFacts kFacts{4711, 11, 1000, 100, "node-a", "/data/run"};

std::string place(const std::string& pattern, bool append_pid = false) {
  const auto found = core_place(pattern, append_pid, kFacts);
  if (!found) return "unknown";
  return found->handler.empty() ? (found->directory / found->name).string() : "|" + found->handler;
}

TEST(CorePlaceTest, ARelativePatternIsInTheWorkingDirectory) {
  EXPECT_EQ(place("core"), "/data/run/core");
  EXPECT_EQ(place("core", true), "/data/run/core.4711");
  EXPECT_EQ(place("core.%p", true), "/data/run/core.4711") << "not twice";
}

TEST(CorePlaceTest, AnAbsolutePatternIsWhereItSays) {
  EXPECT_EQ(place("/cores/%h-%u-%g-%s-%p"), "/cores/node-a-1000-100-11-4711");
  EXPECT_EQ(place("/cores/100%%"), "/cores/100%");
}

TEST(CorePlaceTest, WhatOnlyTheKernelKnowsMayBeAnything) {
  EXPECT_EQ(place("/cores/core.%e.%t.%P"), "/cores/core.*.*.*");
  EXPECT_EQ(place("/cores/%t/core"), "unknown") << "directories are not searched for";
  EXPECT_EQ(place("core.%"), "/data/run/core.");
}

TEST(CorePlaceTest, AHandlerTakesThemAll) {
  EXPECT_EQ(place("|/lib/systemd/systemd-coredump %P %u %g %s %t %c %h"),
            "|/lib/systemd/systemd-coredump");
  EXPECT_EQ(place("|/usr/share/apport/apport"), "|/usr/share/apport/apport");
}

// A core's headers and the one note that counts, after another.
std::string core_of(pid_t pid) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  header.e_type = ET_CORE;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = sizeof header + sizeof segment;
  prpsinfo_t process{};
  process.pr_pid = pid;
  const Elf64_Nhdr first{5, 3, NT_PRSTATUS};
  const Elf64_Nhdr second{5, sizeof process, NT_PRPSINFO};
  const auto bytes = [](const auto& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const std::string name("CORE\0\0\0\0", 8);
  const std::string notes = bytes(first) + name + "abc\1" + bytes(second) + name + bytes(process);
  segment.p_filesz = notes.size();
  return bytes(header) + bytes(segment) + notes;
}

class CoreTextTest : public testing::Test {
 protected:
  void wrote(const std::string& name, const std::string& content) {
    ASSERT_TRUE(replace_file(directory_.path() / name, content));
  }

  std::string text(const std::string& pattern) const {
    CrashFacts facts = kFacts;
    facts.working_directory = directory_.path();
    return core_text(pattern, false, facts, {});
  }

  TemporaryDirectory directory_ =
      std::move(*TemporaryDirectory::create(std::filesystem::temp_directory_path(), "core-"));
};

TEST_F(CoreTextTest, ItsOwnFileIsNamed) {
  wrote("core.a", core_of(kFacts.pid));
  wrote("core.b", core_of(4712));
  EXPECT_THAT(text("core.%e"),
              HasSubstr("it dumped core: " + (directory_.path() / "core.a").string()));
}

TEST_F(CoreTextTest, AnotherRanksFileIsNotTakenForItsOwn) {
  EXPECT_THAT(text("core"), HasSubstr("no such file is in "));
  wrote("core", core_of(4712));
  EXPECT_THAT(text("core"),
              HasSubstr("is the core of process 4712, which has overwritten its own"));
  EXPECT_THAT(text("c%e"), HasSubstr("is the core of process 4712, and its own is not in "));
}

TEST_F(CoreTextTest, AFileThatDoesNotSayIsMaybeItsOwn) {
  const std::string whole = core_of(kFacts.pid);
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    wrote("core", whole.substr(0, size));
    ASSERT_THAT(text("core"), HasSubstr("is its core or another process's")) << size;
  }
  std::string endless = whole;
  endless.replace(sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), 8, 8, '\xff');
  wrote("core", endless);
  EXPECT_THAT(text("core"), HasSubstr("is its core or another process's"));
}

}  // namespace
}  // namespace muster::agent
