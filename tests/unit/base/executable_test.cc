#include "base/executable.h"

#include <elf.h>
#include <sys/utsname.h>

#include <cstring>

#include "base/process.h"
#include "tests/support/scratch.h"

namespace muster {
namespace {

using Kind = ExecutableFormat::Kind;

// A program for `machine` that names `loader`; just enough of it.
std::string elf(unsigned short machine, const std::string& loader = "") {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = machine;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phoff = sizeof header;
  header.e_phnum = loader.empty() ? 0 : 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_INTERP;
  segment.p_offset = sizeof header + sizeof segment;
  segment.p_filesz = loader.size() + 1;
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  if (loader.empty()) return bytes;
  bytes.append(reinterpret_cast<const char*>(&segment), sizeof segment);
  return bytes + loader + '\0';
}

TEST(ExecutableFormatTest, TellsWhatAFileIsByItsFirstBytes) {
  EXPECT_EQ(executable_format("").kind, Kind::kEmpty);
  EXPECT_EQ(executable_format("import os\n").kind, Kind::kText);
  EXPECT_EQ(executable_format(std::string("MZ\0\x90", 4)).kind, Kind::kForeign);
  EXPECT_EQ(executable_format(std::string("text\n\0", 6)).kind, Kind::kText);
  EXPECT_EQ(executable_format(elf(EM_AARCH64)).kind, Kind::kElf);
}

TEST(ExecutableFormatTest, NamesTheMachineAndTheLoaderOfAProgram) {
  EXPECT_EQ(executable_format(elf(EM_AARCH64)).machine, "aarch64");
  EXPECT_EQ(executable_format(elf(EM_PPC64)).machine, "ppc64le");
  EXPECT_EQ(executable_format(elf(4660)).machine, "machine number 4660");
  const auto format = executable_format(elf(EM_X86_64, "/lib/ld-musl-x86_64.so.1"));
  EXPECT_EQ(format.machine, "x86_64");
  EXPECT_EQ(format.interpreter, "/lib/ld-musl-x86_64.so.1");
}

TEST(ExecutableFormatTest, DoesNotReadBeyondADamagedProgram) {
  const std::string whole = elf(EM_X86_64, "/lib/ld.so");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    executable_format(whole.substr(0, length));
  }
  for (const std::size_t field : {32U, 40U, 56U, 64U, 72U, 96U}) {  // offsets and counts
    std::string damaged = whole;
    std::memset(damaged.data() + field, 0xFF, 4);
    executable_format(damaged);
  }
}

TEST(ExecutableFormatTest, ReadsTheFirstLineOfAScript) {
  const auto plain = executable_format("#! /usr/bin/python3 -u\nimport os\n");
  EXPECT_EQ(plain.kind, Kind::kScript);
  EXPECT_EQ(plain.interpreter, "/usr/bin/python3");
  EXPECT_FALSE(plain.carriage_return);
  const auto windows = executable_format("#!/usr/bin/python3\r\nimport os\r\n");
  EXPECT_EQ(windows.interpreter, "/usr/bin/python3");
  EXPECT_TRUE(windows.carriage_return);
  EXPECT_EQ(executable_format("#!").interpreter, "");
  EXPECT_EQ(executable_format("#!/bin/sh").interpreter, "/bin/sh");
}

class StartTest : public test::ScratchTest {
 protected:
  // What is said of a program of these bytes, or "it ran".
  std::string start(std::string_view bytes, int* code = nullptr) {
    write("program", bytes, 0755);
    ChildSpec spec;
    spec.program = "./program";
    spec.argv = {spec.program};
    spec.working_directory = scratch().string();
    auto child = Child::start(spec);
    if (code != nullptr) *code = child ? child->reap().status.value : child.error().exit_code();
    return child ? "it ran" : child.error().describe(spec);
  }
};

TEST_F(StartTest, NamesAProgramOfAnotherMachine) {
  utsname node{};
  ::uname(&node);
  const bool arm = std::string(node.machine) == "aarch64";
  int code = 0;
  EXPECT_EQ(start(elf(arm ? EM_X86_64 : EM_AARCH64), &code),
            std::string("executing ./program: it is a program for ") +
                (arm ? "x86_64" : "aarch64") + ", and this node is " + node.machine);
  EXPECT_EQ(code, 126);
}

TEST_F(StartTest, NamesAnEmptyFileAndAForeignOne) {
  EXPECT_EQ(start(""), "executing ./program: it is an empty file");
  EXPECT_EQ(start(std::string("MZ\0\0", 4)),
            "executing ./program: it is no program of this system, and no script");
}

TEST_F(StartTest, NamesTheInterpreterThatIsMissing) {
  int code = 0;
  EXPECT_EQ(start("#!/opt/none/python3\nimport os\n", &code),
            "executing ./program: the interpreter that its first line names, /opt/none/python3, "
            "was not found");
  EXPECT_EQ(code, 127);
  EXPECT_EQ(start("#!/bin/sh\r\ntrue\r\n"),
            "executing ./program: its first line ends in a carriage return (Windows line ends), "
            "which becomes part of the interpreter's name");
}

TEST_F(StartTest, AScriptWithoutAFirstLineIsRunByShAsShellsDo) {
  int code = 0;
  EXPECT_EQ(start("exit 7\n", &code), "it ran");
  EXPECT_EQ(code, 7);
  const auto problem = shell_problem(scratch() / "program");
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->text, "program has no first line with #!, so sh ran it");
  write("program", "#!/bin/sh\n");
  EXPECT_FALSE(shell_problem(scratch() / "program"));
}

TEST_F(StartTest, FindsTheFileThatASearchWouldTake) {
  write("bin/tool", "#!/opt/none/sh\n", 0755);
  ChildSpec spec;
  spec.program = "tool";
  spec.argv = {"tool"};
  spec.search_path = (scratch() / "bin").string();
  const auto child = Child::start(spec);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().describe(spec),
            "executing tool: the interpreter that its first line names, /opt/none/sh, was not "
            "found");
}

}  // namespace
}  // namespace muster
