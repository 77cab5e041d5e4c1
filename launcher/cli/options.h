// The table of options: what each is called, takes, means and sets, and which commands know it.
//
// Parsing, `muster COMMAND --help`, environment variables, shell completion, the man page and
// docs/environment.md all come from it, so that an option is described once: here.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::cli {

struct OptionRow {
  std::string_view name;               // without its dashes: "process-count-per-node"
  char short_name = '\0';              // 'n' for -n
  std::string_view other_names = {};   // long names of other launchers, blank-separated: "np"
  std::string_view argument = {};      // its placeholder: "N|auto", "FILE"; "" for a switch
  std::string_view choices = {};       // the only values that it takes: "mpi|direct|none"
  std::string_view commands;           // blank-separated: "run plan"
  std::string_view heading;            // in help
  std::string_view help;               // one sentence, small first letter, no full stop
  std::string_view default_text = {};  // what holds without it; "" when nothing does
  bool repeats = false;
  bool has_variable = true;            // MUSTER_ and its name in capitals stand for it
  bool reaches_ranks = false;          // its variable also holds for a `muster` that a rank starts
  std::string_view key = {};           // of the run config that it sets
  std::string_view switch_value = {};  // what a switch sets the key to
  bool hidden = false;                 // from help: for generators of pages

  bool takes_value() const { return !argument.empty(); }
  bool belongs_to(std::string_view command) const;
};

// In the order in which help shows them.
std::span<const OptionRow> options();
std::vector<const OptionRow*> options_of(std::string_view command);

// By any of its long names; null when the command has none such.
const OptionRow* find_option(std::string_view command, std::string_view long_name);

// "runs-dir" → "RUNS_DIR"
std::string capitals(std::string_view name);

// "MUSTER_RUNS_DIR"; "" for an option that no variable stands for.
std::string variable_of(const OptionRow& option);

// How people write it: "-n" when it has a short name, else "--backend".
std::string shown_name(const OptionRow& option);

// All long names, its own first.
std::vector<std::string> long_names(const OptionRow& option);
std::vector<std::string> choices_of(const OptionRow& option);

}  // namespace muster::cli
