#include "protocol/daemon_command.h"

#include <algorithm>
#include <span>

#include "base/text.h"

namespace muster::protocol {
namespace {

constexpr std::string_view kVariables[] = {"PATH",        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
                                           "OPAL_PREFIX", "PMIX_PREFIX",     "PRTE_PREFIX"};

// Without their dashes: Open MPI writes one or two.
constexpr std::string_view kParameterOptions[] = {"mca",  "omca",  "prtemca",  "pmixmca",
                                                  "gmca", "gomca", "gprtemca", "gpmixmca"};
constexpr std::string_view kFlags[] = {"leave-session-attached", "allow-run-as-root", "debug",
                                       "debug-daemons", "debug-devel"};

bool is_one_of(std::string_view text, std::span<const std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_name(char c) {
  return is_letter(c) || (c >= '0' && c <= '9');
}

// What a shell takes as it stands.
bool is_plain(char c) {
  return is_name(c) || std::string_view("./:,=@%+^-").find(c) != std::string_view::npos;
}

Failure odd(const std::string& what) {
  return fail(ErrorCode::kUsage, "this is no command of mpirun's for its daemon: " + what);
}

std::string shown(char c) {
  return c >= ' ' && c <= '~' ? std::string("'") + c + "'" : "a byte that is no text";
}

// Reads from the left; what it does not know stays unread, and is an error.
class Reader {
 public:
  explicit Reader(std::string_view line) : rest_(line) {}

  bool at_end() const { return rest_.empty(); }
  void skip_blanks() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }

  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // A word without quotes; with `variables`, values of others may stand in it, as $NAME, ${NAME},
  // ${NAME:-}.
  Result<std::string> word(bool variables = false) {
    std::string text;
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == ' ' || c == ';') break;
      if (variables && c == '$') {
        MUSTER_TRY_ASSIGN(std::string value, variable());
        text += value;
        continue;
      }
      if (!is_plain(c)) return odd(shown(c) + " stands in a word");
      text += c;
      rest_.remove_prefix(1);
    }
    if (text.empty()) return odd("a word is missing");
    return text;
  }

  // The value of an option, in double quotes or without.
  Result<std::string> value() {
    if (!take('"')) return word();
    std::string text;
    while (!rest_.empty() && rest_.front() != '"') {
      const char c = rest_.front();
      if (c == '$' || c == '`' || c == '\\' || static_cast<unsigned char>(c) < ' ') {
        return odd(shown(c) + " stands in a value");
      }
      text += c;
      rest_.remove_prefix(1);
    }
    if (!take('"')) return odd("a quote is not closed");
    if (!rest_.empty() && rest_.front() != ' ') return odd("something follows a quote");
    return text;
  }

 private:
  Result<std::string> variable() {
    std::string text(1, '$');
    rest_.remove_prefix(1);
    const bool braces = take('{');
    std::string name;
    while (!rest_.empty() && is_name(rest_.front())) {
      name += rest_.front();
      rest_.remove_prefix(1);
    }
    if (!is_one_of(name, kVariables)) return odd("it looks into $" + name);
    text += braces ? "{" + name : name;
    if (braces) {
      if (rest_.starts_with(":-}")) {
        rest_.remove_prefix(2);
        text += ":-";
      }
      if (!take('}')) return odd("a brace is not closed");
      text += "}";
    }
    return text;
  }

  std::string_view rest_;
};

// "PATH=/usr/bin:$PATH ; export PATH ;": true when `word` began such a statement, which is read.
Result<bool> take_statement(Reader& reader, const std::string& word, DaemonCommand& command) {
  if (word == "export") {
    reader.skip_blanks();
    MUSTER_TRY_ASSIGN(const std::string name, reader.word());
    if (!is_one_of(name, kVariables)) return odd("it exports " + name);
  } else {
    const std::size_t equals = word.find('=');
    if (equals == word.npos) return false;
    const std::string name = word.substr(0, equals);
    if (!is_one_of(name, kVariables)) return odd("it sets " + name);
    command.variables.emplace_back(name, word.substr(equals + 1));
  }
  reader.skip_blanks();
  if (!reader.take(';')) return odd("a ';' is missing behind " + word);
  return true;
}

bool is_daemon(std::string_view program) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  const bool by_name_or_path = name.size() == program.size() || program.front() == '/';
  return by_name_or_path && (name == "orted" || name == "prted");
}

std::string without_dashes(const std::string& option) {
  std::size_t dashes = 0;
  while (dashes < 2 && dashes < option.size() && option[dashes] == '-') ++dashes;
  return option.substr(dashes);
}

Result<> take_options(Reader& reader, DaemonCommand& command) {
  for (reader.skip_blanks(); !reader.at_end(); reader.skip_blanks()) {
    auto word = reader.word();
    if (!word) return Failure(std::move(word).error());
    const std::string& option = *word;
    const std::string name = without_dashes(option);
    if (name.size() == option.size()) return odd("\"" + option + "\" is no option");
    if (is_one_of(name, kFlags)) {
      command.flags.emplace_back(name);
      continue;
    }
    if (!is_one_of(name, kParameterOptions)) return odd("the option " + option + " is not known");
    reader.skip_blanks();
    MUSTER_TRY_ASSIGN(std::string parameter, reader.word());
    reader.skip_blanks();
    MUSTER_TRY_ASSIGN(std::string value, reader.value());
    command.parameters.emplace_back(std::move(parameter), std::move(value));
  }
  return {};
}

}  // namespace

Result<DaemonCommand> parse_daemon_command(std::string_view line) {
  if (line.size() > kMaxDaemonCommand) {
    return odd("it has " + std::to_string(line.size()) + " bytes");
  }
  DaemonCommand command;
  Reader reader(line);
  while (true) {
    reader.skip_blanks();
    MUSTER_TRY_ASSIGN(const std::string word, reader.word(true));
    MUSTER_TRY_ASSIGN(const bool is_statement, take_statement(reader, word, command));
    if (is_statement) continue;
    if (!is_daemon(word)) return odd("it runs " + word + ", not orted or prted");
    command.program = word;
    break;
  }
  MUSTER_TRY(take_options(reader, command));
  return command;
}

Result<int> node_rank_of_mpi_name(std::string_view name) {
  constexpr std::string_view kPrefix = "muster-";
  const bool fits = name.starts_with(kPrefix) && name.size() > kPrefix.size() &&
                    name.size() <= kPrefix.size() + 9;
  const std::string digits(fits ? name.substr(kPrefix.size()) : "");
  const bool all_digits =
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (digits.empty() || !all_digits || (digits.size() > 1 && digits.front() == '0')) {
    return fail(ErrorCode::kUsage, "\"" + without_controls(name) + "\" is no node of this run");
  }
  return std::stoi(digits);
}

}  // namespace muster::protocol
