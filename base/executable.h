// What kind of file a program is, and why the kernel does not run it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace muster {

struct ExecutableFormat {
  enum class Kind {
    kEmpty,
    kElf,
    kScript,   // begins with "#!"
    kText,     // anything else that could be a script
    kForeign,  // a program of another system, or data
  };

  Kind kind = Kind::kEmpty;
  std::string machine;           // of an ELF program, as `uname -m` would name it
  std::string interpreter;       // that a script's first line or an ELF program names; may be empty
  bool carriage_return = false;  // the script's first line ends in one, as on Windows
};

// From the first bytes of a file.
ExecutableFormat executable_format(std::string_view head);

struct RunProblem {
  std::string text;  // "it is an aarch64 program, and this node is x86_64"
  std::string hint;
};

// Why this file cannot run here, as far as it can be seen; nullopt: nothing to be seen.
std::optional<RunProblem> run_problem(const std::filesystem::path& file);

// Of a file that sh has run because it lacks a first line that says what it is.
std::optional<RunProblem> shell_problem(const std::filesystem::path& file);

}  // namespace muster
