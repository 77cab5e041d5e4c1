#include "launcher/config/dialects/command_words.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "launcher/config/problems.h"

namespace muster::config {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool is_mpirun(std::string_view word) {
  constexpr std::array<std::string_view, 4> kNames{"mpirun", "mpiexec", "orterun", "mpiexec.hydra"};
  const std::string_view name = word.substr(word.rfind('/') + 1);
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// Options of Open MPI's, MPICH's and Intel MPI's mpirun, with the number of words that they take.
int words_of_option(std::string_view option) {
  constexpr std::array<std::string_view, 15> kAlone{"allow-run-as-root",
                                                    "envall",
                                                    "report-bindings",
                                                    "oversubscribe",
                                                    "nooversubscribe",
                                                    "tag-output",
                                                    "v",
                                                    "verbose",
                                                    "q",
                                                    "display-map",
                                                    "bind-to-none",
                                                    "genvall",
                                                    "bycore",
                                                    "bynode",
                                                    "bind-to-core"};
  constexpr std::array<std::string_view, 29> kOne{
      "n",      "np",      "envlist",  "genvlist", "c",         "hostfile", "machinefile",
      "f",      "H",       "host",     "hosts",    "bind-to",   "map-by",   "rank-by",
      "ppn",    "perhost", "npernode", "N",        "x",         "wdir",     "wd",
      "prefix", "rmk",     "iface",    "launcher", "bootstrap", "stdin",    "output-filename",
      "path"};
  constexpr std::array<std::string_view, 4> kTwo{"mca", "genv", "env", "gmca"};
  const auto among = [&](const auto& names) {
    return std::find(names.begin(), names.end(), option) != names.end();
  };
  if (among(kAlone)) return 0;
  if (among(kOne)) return 1;
  return among(kTwo) ? 2 : -1;
}

// Intel MPI takes "-env NAME=VALUE" as well as "-env NAME VALUE".
bool is_pair(std::string_view option, std::string_view first) {
  return (option == "genv" || option == "env") && first.find('=') != std::string_view::npos;
}

// The 4 of "ppr:4:node"; nullopt for another mapping.
std::optional<std::string> processes_per_node(std::string_view mapping) {
  const std::vector<std::string> parts = split(mapping, ':');
  const bool whole = parts.size() >= 3 && parts[0] == "ppr" && parts[2] == "node";
  return whole ? std::optional(parts[1]) : std::nullopt;
}

void note_count(MpirunLine& line, const std::string& word, std::string_view option,
                const std::string& value) {
  constexpr std::array<std::string_view, 4> kPerNode{"ppn", "perhost", "npernode", "N"};
  const std::string written = word + " " + value;
  if (option == "n" || option == "np" || option == "c") {
    line.total = {written, value};
  } else if (std::find(kPerNode.begin(), kPerNode.end(), option) != kPerNode.end()) {
    line.per_node = {written, value};
  } else if (option == "map-by") {
    if (auto each = processes_per_node(value)) line.per_node = {written, std::move(*each)};
  }
}

void note_variable(MpirunLine& line, std::string_view option, const std::string& first,
                   const std::string& second) {
  const std::size_t equals = first.find('=');
  if (equals != std::string::npos && (option == "x" || is_pair(option, first))) {
    line.variables.emplace_back(first.substr(0, equals), first.substr(equals + 1));
  } else if (option == "genv" || option == "env") {
    line.variables.emplace_back(first, second);
  }
}

}  // namespace

std::optional<std::vector<Word>> command_words(std::string_view line) {
  std::vector<Word> words;
  std::size_t at = 0;
  while (true) {
    while (at < line.size() && is_blank(line[at])) ++at;
    if (at == line.size()) return words;
    Word word{"", at};
    char quote = '\0';
    for (; at < line.size() && (quote != '\0' || !is_blank(line[at])); ++at) {
      const char c = line[at];
      if (quote == '\0' && (c == '"' || c == '\'')) {
        quote = c;
      } else if (c == quote) {
        quote = '\0';
      } else if (c == '\\' && quote != '\'' && at + 1 < line.size()) {
        const char next = line[++at];
        if (quote == '"' && next != '"' && next != '\\' && next != '$') word.text += c;
        word.text += next;
      } else {
        word.text += c;
      }
    }
    if (quote != '\0') return std::nullopt;
    words.push_back(std::move(word));
  }
}

std::string quoted_but_variables(const std::string& word) {
  if (word.find('$') == std::string::npos) return shell_quoted(word);
  std::string quoted = "\"";
  for (std::size_t at = 0; at < word.size(); ++at) {
    const char c = word[at];
    const bool command = c == '$' && word.compare(at, 2, "$(") == 0;
    if (c == '"' || c == '\\' || c == '`' || command) quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

bool calls_mpirun(const std::vector<Word>& words) {
  return std::any_of(words.begin(), words.end(),
                     [](const Word& word) { return is_mpirun(word.text); });
}

tl::expected<MpirunLine, std::string> rank_program(std::string_view line,
                                                   const std::vector<Word>& words) {
  using Unclear = tl::unexpected<std::string>;
  if (words.empty() || !is_mpirun(words.front().text)) {
    return Unclear("mpirun is in the middle of it");
  }
  MpirunLine result;
  std::size_t at = 1;
  while (at < words.size() && words[at].text.starts_with('-')) {
    const std::string& word = words[at].text;
    const std::string option = word.substr(std::min(word.find_first_not_of('-'), word.size()));
    int takes = words_of_option(option);
    if (takes < 0) return Unclear(printable(word) + " of mpirun is not known");
    if (takes == 2 && at + 1 < words.size() && is_pair(option, words[at + 1].text)) takes = 1;
    if (at + static_cast<std::size_t>(takes) >= words.size()) {
      return Unclear("mpirun has no program");
    }
    const std::string first = takes > 0 ? words[at + 1].text : "";
    note_count(result, word, option, first);
    note_variable(result, option, first, takes > 1 ? words[at + 2].text : "");
    at += 1 + static_cast<std::size_t>(takes);
  }
  if (at >= words.size()) return Unclear("mpirun has no program");
  result.program = std::string(line.substr(words[at].offset));
  const bool several =
      std::any_of(words.begin() + static_cast<std::ptrdiff_t>(at), words.end(),
                  [](const Word& word) { return is_mpirun(word.text) || word.text == ":"; });
  if (several) return Unclear("mpirun starts more than one program");
  return result;
}

}  // namespace muster::config
