// Words are looked at in their order, because what follows the first word of a program is the
// program's, options and all: `muster run --nproc-per-node 4 train.py --lr 0.1`.

#include "launcher/cli/habits.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "launcher/cli/options.h"

namespace muster::cli {
namespace {

constexpr std::string_view kNoRendezvous = "leave it out: a run of one node needs no rendezvous";
constexpr std::string_view kStored =
    "leave it out: all that every rank writes is stored in the run directory, and --console says "
    "what is shown";
constexpr std::string_view kPlaced =
    "leave it out: Muster places the ranks itself, `muster plan` shows where, and "
    "--set resources.cores_per_process=N sets their cores";
constexpr std::string_view kOneNode =
    "leave it out: this version runs on the node it is started on";

constexpr ForeignOption kForeign[] = {
    // torchrun
    {"--standalone", 0, true, "what a run on one node is anyway"},
    {"--monitor-interval", 1, true, "not needed: a rank's end is noticed at once"},
    {"--start-method", 1, true, "not needed: each rank is a program of its own"},
    {"--rdzv-backend", 1, true, "not needed: a run of one node needs no rendezvous", "static c10d",
     kNoRendezvous},
    {"--rdzv-endpoint", 1, true, "not needed: a run of one node needs no rendezvous",
     "localhost 127.0.0.1", kNoRendezvous},
    {"--rdzv-id", 1, true, "not needed: --run-id names the run"},
    {"--use-env", 0, true, "what ranks find anyway: LOCAL_RANK is a variable"},
    {"--rdzv-conf --local-addr", 1, false, kNoRendezvous},
    {"--role", 1, false, "leave it out: ranks have no roles here"},
    {"--log-dir", 1, false,
     "--runs-dir says where run directories are; each has what every rank wrote"},
    {"-r --redirects", 1, false, kStored},
    {"-t --tee", 1, false, "--console all shows every rank; all of it is stored anyway"},
    {"--local-ranks-filter", 1, false, "--console rank0, all, none or errors says what is shown"},
    {"--logs-specs --event-log-handler --signals-to-handle", 1, false,
     "leave it out: there is nothing like it here"},
    {"--run-path --virtual-local-rank", 0, false, "leave it out: there is nothing like it here"},

    // mpirun
    {"--allow-run-as-root", 0, true, "what Muster tells mpirun itself where it is needed"},
    {"-H --host --hostfile --machinefile", 1, false, kOneNode},
    {"--bind-to", 1, true,
     "what mpirun is told anyway: Muster itself binds the ranks to their cores", "none", kPlaced},
    {"--map-by --rank-by --rankfile -rf --cpus-per-proc --cpus-per-rank", 1, false, kPlaced},
    {"--bynode --bycore --byslot --bind-to-core --bind-to-socket --nooversubscribe", 0, false,
     kPlaced},
    {"--report-bindings --display-map --display-allocation", 0, false,
     "`muster plan` shows where every rank will be"},
    {"--mca --gmca --prtemca --pmixmca", 2, false,
     "set it as a variable of the ranks: -x OMPI_MCA_NAME=VALUE"},
    {"--tag-output --timestamp-output", 0, false, "--console all puts the rank before each line"},
    {"--output-filename --output", 1, false, kStored},
    {"--wdir --wd", 1, false,
     "start muster there, or set source_directory in a config: ranks run in a copy of it"},
    {"--timeout", 1, false, "--max-run-duration-seconds sets the time after which a run is ended"},
    {"--prefix", 1, false, "leave it out: the mpirun that is first on PATH is used"},
};

// "--nproc_per_node=4" → "nproc-per-node", "-np" → "np"; "" for what is no long name.
std::string long_name(const std::string& word) {
  if (!word.starts_with('-') || word.size() < 3 || word == "--") return "";
  std::string name = word.substr(word[1] == '-' ? 2 : 1);
  name.resize(std::min(name.size(), name.find('=')));
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::string value_after_equals(const std::string& word) {
  const std::size_t equals = word.find('=');
  return equals == std::string::npos ? "" : word.substr(equals);
}

// mpirun's long options may have one dash.
const ForeignOption* find_foreign(const std::string& word) {
  const std::string name = long_name(word);
  for (const ForeignOption& option : kForeign) {
    for (const std::string& each : split(option.names, ' ')) {
      if (each == word || (!name.empty() && each == "--" + name)) return &option;
    }
  }
  return nullptr;
}

const OptionRow* find_short(const std::string& command, char letter) {
  for (const OptionRow* option : options_of(command)) {
    if (letter != '\0' && option->short_name == letter) return option;
  }
  return nullptr;
}

bool ends_like_a_config(const std::string& word) {
  constexpr std::string_view kEndings[] = {".yaml", ".yml", ".json", ".runconfig"};
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return word.ends_with(ending); });
}

class Reader {
 public:
  Reader(const std::string& command, std::span<const std::string> words, bool takes_program,
         const IsProgram& is_program)
      : command_(command), words_(words), takes_program_(takes_program), is_program_(is_program) {}

  Result<OwnWords> read() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_];
      if (word == "--") {
        take_program(at_ + 1);
        break;
      }
      if (word.size() > 1 && word.front() == '-') {
        MUSTER_TRY(read_option(word));
      } else if (begins_program(word)) {
        MUSTER_TRY(refuse_second_program(at_));
        take_program(at_);
        break;
      } else {
        own_.words.push_back(word);
        has_plain_word_ = true;
        ++at_;
      }
    }
    return std::move(own_);
  }

 private:
  Result<> read_option(const std::string& word) {
    const std::string name = long_name(word);
    const OptionRow* option = name.empty() ? nullptr : find_option(command_, name);
    if (option != nullptr && (word[1] == '-' || name.size() > 1)) {
      take(*option, "--" + name + value_after_equals(word), word.find('=') != std::string::npos);
      return {};
    }
    if (word.size() == 2 || (word.size() == 3 && word.starts_with("--"))) {  // -n, mpirun's --n
      if (const OptionRow* by_letter = find_short(command_, word.back())) {
        take(*by_letter, std::string("-") + word.back(), false);
        return {};
      }
    }
    const std::string digits = word.starts_with("-np") ? word.substr(3) : "";
    if (!digits.empty() && parse_integer(digits) && find_option(command_, "np") != nullptr) {
      own_.words.insert(own_.words.end(), {"--np", digits});  // -np4
      ++at_;
      return {};
    }
    const ForeignOption* foreign = takes_program_ ? find_foreign(word) : nullptr;
    if (foreign != nullptr) return take_foreign(*foreign, word);
    own_.words.push_back(word);
    ++at_;
    return {};
  }

  // The option, and the word after it when that is its value.
  void take(const OptionRow& option, std::string word, bool has_value) {
    if (option.name == "module") own_.kind = ProgramKind::kModule;
    if (option.name == "no-python") is_plain_program_ = true;
    own_.words.push_back(std::move(word));
    ++at_;
    if (option.takes_value() && !has_value && at_ < words_.size() && words_[at_] != "--") {
      own_.words.push_back(words_[at_++]);
    }
  }

  // "c10d", or "localhost" of "localhost:29500": the value after the word, or in it.
  bool takes_value_of(const ForeignOption& option, const std::string& word) const {
    if (option.only.empty()) return true;
    const std::string after = at_ + 1 < words_.size() ? words_[at_ + 1] : "";
    const std::size_t equals = word.find('=');
    const std::string value = equals == std::string::npos ? after : word.substr(equals + 1);
    const auto accepted = split(option.only, ' ');
    return std::find(accepted.begin(), accepted.end(), value.substr(0, value.find(':'))) !=
           accepted.end();
  }

  Result<> take_foreign(const ForeignOption& option, const std::string& word) {
    const bool takes_value = takes_value_of(option, word);
    if (!option.accepted || !takes_value) {
      return fail(ErrorCode::kUsage,
                  word.substr(0, word.find('=')) + " is no option of muster " + command_,
                  std::string(takes_value ? option.what : option.else_hint));
    }
    const bool has_value = word.find('=') != std::string::npos;
    std::string given = word;
    ++at_;
    for (int count = has_value ? 1 : 0; count < option.values && at_ < words_.size(); ++count) {
      given += " " + words_[at_++];
    }
    own_.echoes.push_back({std::move(given), std::string(option.what)});
    return {};
  }

  bool begins_program(const std::string& word) const {
    if (!takes_program_ || has_plain_word_) return false;
    if (own_.kind == ProgramKind::kModule || is_plain_program_) return true;
    if (word.ends_with(".py")) return true;
    return !ends_like_a_config(word) && is_program_ && is_program_(word);
  }

  // mpirun's way of starting several programs: `-np 1 head : -np 3 worker`.
  Result<> refuse_second_program(std::size_t from) const {
    constexpr std::array kBegins = {"-n", "-np", "--n",   "--np",  "-c",
                                    "-x", "-H",  "-host", "--host"};
    for (std::size_t at = from; at + 1 < words_.size(); ++at) {
      if (words_[at] == "--") return {};
      if (words_[at] != ":") continue;
      if (std::find(kBegins.begin(), kBegins.end(), words_[at + 1]) == kBegins.end()) continue;
      return fail(ErrorCode::kUsage,
                  "\": " + words_[at + 1] + "\" begins a second program, and a run has one",
                  "let the program look at its RANK; or, when the words are its arguments, write "
                  "-- before it");
    }
    return {};
  }

  void take_program(std::size_t from) {
    const auto rest = words_.subspan(from);
    std::vector<std::string> program(rest.begin(), rest.end());
    const bool after_dashes = from > 0 && words_[from - 1] == "--";
    if (!after_dashes) {
      // `muster run train.py -- --lr 0.1`, as after a config.
      if (program.size() > 1 && program[1] == "--") program.erase(program.begin() + 1);
      const bool script = program.front().ends_with(".py") && !is_plain_program_;
      if (script && own_.kind == ProgramKind::kProgram) {
        own_.kind = ProgramKind::kScript;
        own_.echoes.push_back({program.front(), "-- python3 " + program.front()});
      }
    }
    if (own_.kind == ProgramKind::kModule && !program.empty()) {
      own_.echoes.push_back({"-m " + program.front(), "-- python3 -m " + program.front()});
    }
    own_.program = std::move(program);
  }

  const std::string& command_;
  const std::span<const std::string> words_;
  const bool takes_program_;
  const IsProgram& is_program_;
  std::size_t at_ = 0;
  bool has_plain_word_ = false;
  bool is_plain_program_ = false;
  OwnWords own_;
};

}  // namespace

std::span<const ForeignOption> foreign_options() {
  return kForeign;
}

Result<OwnWords> in_own_words(const std::string& command, std::span<const std::string> words,
                              bool takes_program, const IsProgram& is_program) {
  return Reader(command, words, takes_program, is_program).read();
}

}  // namespace muster::cli
