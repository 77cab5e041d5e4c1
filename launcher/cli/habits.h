// The words that people bring from torchrun and mpirun, in Muster's.
//
// Those that mean something here are options of the table, under their other names.  The rest is
// here: what a run does anyway is accepted and told, what it does otherwise is refused with what to
// write instead.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "muster/result.h"

namespace muster::cli {

struct ForeignOption {
  std::string_view names;  // blank-separated, as they are written: "-r --redirects"
  int values = 0;          // words that follow it
  bool accepted = false;
  std::string_view what;            // accepted: "--standalone is …"; refused: the hint
  std::string_view only = {};       // blank-separated: accepted with these values alone
  std::string_view else_hint = {};  // with another one
};
std::span<const ForeignOption> foreign_options();

// What was written, and what it is in Muster's words.
struct Echo {
  std::string given;    // "--nproc-per-node 4"
  std::string meaning;  // "-n 4"
};

// What the words after the options are.
enum class ProgramKind {
  kProgram,  // executed as it stands
  kScript,   // a Python script and its arguments
  kModule,   // a Python module and its arguments
};

struct OwnWords {
  std::vector<std::string> words;                   // options, and words that are no program
  std::optional<std::vector<std::string>> program;  // from `--`, or its first word, on
  ProgramKind kind = ProgramKind::kProgram;
  std::vector<Echo> echoes;
};

// Whether a word that is neither an option nor a config can be executed.
using IsProgram = std::function<bool(const std::string& word)>;

// `takes_program` for the commands that take a config or a program.  Errors: kUsage, for a word
// that has another meaning here.
Result<OwnWords> in_own_words(const std::string& command, std::span<const std::string> words,
                              bool takes_program, const IsProgram& is_program);

}  // namespace muster::cli
