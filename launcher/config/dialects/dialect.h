// Which of the formats that people have a config is written in, told from its content.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/config/document.h"

namespace muster::config {

enum class Dialect {
  kNative,
  kRunConfiguration,  // Azure ML v1 .runconfig since late 2018, and the service's run definition
  kWorkbench,         // its ancestor of 2017, with TitleCase keys
  kCommandJob,        // Azure ML v2
  kBatchAi,           // job.json
};

struct Recognised {
  Dialect dialect = Dialect::kNative;
  std::string name;  // "Azure ML v1 run configuration (mid 2019 to 2020)"; "" for native
  std::string why;   // "it has script, framework and communicator"; "" for native
};

// Of a mapping; whatever nothing speaks for is native.
Recognised recognise(const Node& root);

// Whether a mapping that was met by chance, in a directory of files, is a run config at all: more
// is asked of it than of a file that somebody named.
bool is_run_config(const Node& root);

// A text by itself: whether it is such a mapping, and its dialect's name.
struct FirstLook {
  bool is_run_config = false;
  std::string name = {};  // "" for native, and for what is none
};
FirstLook look_at(std::string_view text);

// The same for a dialect that somebody named.
Recognised forced(Dialect dialect, const Node& root);

// "v1" for --dialect; nullopt for a word that is none.
std::optional<Dialect> dialect_of_word(std::string_view word);
std::vector<std::string> dialect_words();

// How keys are compared where writers differ: "processCountPerNode", "process_count_per_node" and
// "ProcessCountPerNode" are one.
std::string spelling_free(std::string_view key);

}  // namespace muster::config
