#include "base/executable.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/fd.h"

namespace muster {
namespace {

constexpr std::size_t kHeadBytes = 4096;

std::string machine_name(unsigned machine, bool big_endian) {
  switch (machine) {
    case EM_386: return "i686";
    case EM_ARM: return "arm";
    case EM_X86_64: return "x86_64";
    case EM_AARCH64: return "aarch64";
    case EM_PPC64: return big_endian ? "ppc64" : "ppc64le";
    case EM_S390: return "s390x";
    case EM_RISCV: return "riscv64";
    default: return "machine number " + std::to_string(machine);
  }
}

// The dynamic loader that a 64-bit program of our byte order names.
std::string loader_of(std::string_view head) {
  Elf64_Ehdr header;
  if (head.size() < sizeof header || head[EI_CLASS] != ELFCLASS64) return "";
  std::memcpy(&header, head.data(), sizeof header);
  for (std::size_t at = 0; at < header.e_phnum; ++at) {
    Elf64_Phdr segment;
    if (header.e_phoff > head.size()) return "";
    const std::size_t offset = header.e_phoff + at * sizeof segment;
    if (offset + sizeof segment > head.size()) return "";
    std::memcpy(&segment, head.data() + offset, sizeof segment);
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > head.size() || segment.p_filesz > head.size() - segment.p_offset) {
      return "";
    }
    const std::string_view name = head.substr(segment.p_offset, segment.p_filesz);
    return std::string(name.substr(0, name.find('\0')));
  }
  return "";
}

ExecutableFormat elf_format(std::string_view head) {
  ExecutableFormat format;
  format.kind = ExecutableFormat::Kind::kElf;
  if (head.size() < 20) return format;
  const bool big_endian = head[EI_DATA] == ELFDATA2MSB;
  const auto first = static_cast<unsigned char>(head[18]);
  const auto second = static_cast<unsigned char>(head[19]);
  format.machine =
      machine_name(big_endian ? first * 256U + second : second * 256U + first, big_endian);
  if (big_endian == (std::endian::native == std::endian::big)) format.interpreter = loader_of(head);
  return format;
}

ExecutableFormat script_format(std::string_view head) {
  ExecutableFormat format;
  format.kind = ExecutableFormat::Kind::kScript;
  std::string_view line = head.substr(2, head.find('\n') - 2);
  if (line.ends_with('\r')) {
    format.carriage_return = true;
    line.remove_suffix(1);
  }
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  format.interpreter = std::string(line.substr(0, line.find_first_of(" \t")));
  return format;
}

std::string read_head(const std::filesystem::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::array<char, kHeadBytes> head;
  const ssize_t got = fd ? ::pread(fd.get(), head.data(), head.size(), 0) : 0;
  return std::string(head.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
}

bool is_regular(const std::filesystem::path& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(file.c_str(), R_OK) == 0;
}

// An i686 program runs on x86_64, where the kernel was built for it.
bool runs_on(const std::string& program, const std::string& node) {
  return program == node || (program == "i686" && node == "x86_64");
}

std::optional<RunProblem> elf_problem(const ExecutableFormat& format) {
  utsname node{};
  ::uname(&node);
  const std::string machine = node.machine;
  if (!format.machine.empty() && !runs_on(format.machine, machine)) {
    return RunProblem{
        "it is a program for " + format.machine + ", and this node is " + machine,
        "build it for " + machine + ", or run it on a node that is " + format.machine};
  }
  if (!format.interpreter.empty() && ::access(format.interpreter.c_str(), F_OK) != 0) {
    return RunProblem{"its dynamic loader " + format.interpreter + " is not on this node",
                      "it was built for another system or C library: build it here, or run it in "
                      "its own container"};
  }
  return std::nullopt;
}

std::optional<RunProblem> script_problem(const ExecutableFormat& format,
                                         const std::filesystem::path& file) {
  if (format.carriage_return) {
    return RunProblem{
        "its first line ends in a carriage return (Windows line ends), which becomes "
        "part of the interpreter's name",
        "take them out: sed -i 's/\\r$//' " + file.filename().string()};
  }
  if (!format.interpreter.empty() && ::access(format.interpreter.c_str(), F_OK) != 0) {
    return RunProblem{
        "the interpreter that its first line names, " + format.interpreter + ", was not found",
        "name one that is on this node, such as #!/usr/bin/env python3"};
  }
  return std::nullopt;
}

}  // namespace

ExecutableFormat executable_format(std::string_view head) {
  using Kind = ExecutableFormat::Kind;
  ExecutableFormat format;
  if (head.empty()) return format;
  if (head.starts_with(ELFMAG)) return elf_format(head);
  if (head.starts_with("#!")) return script_format(head);
  // As shells tell them: a NUL in the first line is no text.
  const bool is_text = head.substr(0, head.find('\n')).find('\0') == head.npos;
  format.kind = is_text ? Kind::kText : Kind::kForeign;
  return format;
}

std::optional<RunProblem> run_problem(const std::filesystem::path& file) {
  if (!is_regular(file)) return std::nullopt;
  const ExecutableFormat format = executable_format(read_head(file));
  switch (format.kind) {
    case ExecutableFormat::Kind::kEmpty:
      return RunProblem{"it is an empty file", "see whether it was copied completely"};
    case ExecutableFormat::Kind::kElf: return elf_problem(format);
    case ExecutableFormat::Kind::kScript: return script_problem(format, file);
    case ExecutableFormat::Kind::kText: return std::nullopt;
    case ExecutableFormat::Kind::kForeign:
      return RunProblem{"it is no program of this system, and no script",
                        "see what it is: file " + file.filename().string()};
  }
  return std::nullopt;
}

std::optional<RunProblem> shell_problem(const std::filesystem::path& file) {
  if (!is_regular(file)) return std::nullopt;
  if (executable_format(read_head(file)).kind != ExecutableFormat::Kind::kText) return std::nullopt;
  return RunProblem{file.filename().string() + " has no first line with #!, so sh ran it",
                    "give it to its interpreter (python3 " + file.filename().string() +
                        "), or begin it with #!/usr/bin/env python3"};
}

}  // namespace muster
