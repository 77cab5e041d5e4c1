// Command lines as one text: into words, and words into a line for a shell again.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace muster::config {

struct Word {
  std::string text;        // without its quotes
  std::size_t offset = 0;  // in the line
};

// As a shell does, without expanding anything: blanks divide, quotes and backslashes hold together.
// nullopt: a quote is never closed.
std::optional<std::vector<Word>> command_words(std::string_view line);

// A word of a line for a shell in which $NAME and ${NAME} still stand for variables, and nothing
// else has a meaning.
std::string quoted_but_variables(const std::string& word);

// The rank's own program of a line that begins with mpirun or mpiexec.
struct MpirunLine {
  std::string program;  // the rest of the line, as written
  struct Count {
    std::string option;  // "-np 4"
    std::string number;  // "4"
  };
  std::optional<Count> total = {};     // of -n
  std::optional<Count> per_node = {};  // of -ppn, -npernode, --map-by ppr:4:node
  std::vector<std::pair<std::string, std::string>> variables = {};  // of -x and -genv
};

// Whether a line starts ranks itself; an error says why its program cannot be told apart.
bool calls_mpirun(const std::vector<Word>& words);
tl::expected<MpirunLine, std::string> rank_program(std::string_view line,
                                                   const std::vector<Word>& words);

}  // namespace muster::config
