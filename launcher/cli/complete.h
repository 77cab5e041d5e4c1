// What may come next on a command line: the candidates of shell completion.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::cli {

struct Candidate {
  std::string text;
  std::string description;
};

struct Completion {
  // What the shell adds of its own.
  enum class Rest { kNothing, kFiles, kDirectories, kCommand };

  std::vector<Candidate> candidates;  // each begins with the last word
  Rest rest = Rest::kNothing;
  std::string_view endings = {};  // with kFiles: only these, blank-separated; "" is all
};

// `words` follow the program's name; the last is the one that is being typed, perhaps "".
// `runs_in` lists the runs of a directory, the newest first.
using RunsIn = std::function<std::vector<std::string>(const std::string& runs_dir)>;
Completion complete(std::span<const std::string> words, const std::string& runs_dir,
                    const RunsIn& runs_in);

// For the scripts that `muster completion` prints: one candidate a line, a tab, its description;
// and last ":files yaml yml", ":directories" or ":command", when that is what the shell adds.
std::string completion_lines(const Completion& completion);

// The script for a shell; "" for one that is not known.
std::string completion_script(std::string_view shell);

}  // namespace muster::cli
