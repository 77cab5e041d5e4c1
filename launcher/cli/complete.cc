// The shells' own scripts are thin: they ask `muster complete -- WORDS`, so that what can come next
// is known in one place, and is what this muster takes.

#include "launcher/cli/complete.h"

#include <algorithm>

#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/log_request.h"
#include "launcher/cli/options.h"

namespace muster::cli {
namespace {

constexpr std::string_view kConfigEndings = "yaml yml json runconfig py";

class Completer {
 public:
  Completer(std::span<const std::string> words, std::string runs_dir, const RunsIn& runs_in)
      : words_(words), runs_dir_(std::move(runs_dir)), runs_in_(runs_in) {}

  Completion complete() {
    if (words_.empty()) return std::move(done_);
    typed_ = words_.back();
    if (words_.size() == 1) {
      add_commands();
      add("--help", "print the help");
      add("--version", "print the version");
      return std::move(done_);
    }
    command_ = find_command(words_.front());
    if (command_ != nullptr) complete_command();
    return std::move(done_);
  }

 private:
  void complete_command() {
    const auto before = words_.subspan(1, words_.size() - 2);
    std::size_t plain_words = 0;
    const OptionRow* open = nullptr;  // the option that waits for its value
    for (const std::string& word : before) {
      if (std::exchange(open, nullptr) != nullptr) continue;
      if (word == "--") return complete_program();
      if (begins_program(word)) return complete_arguments();
      if (word.size() > 1 && word.front() == '-') {
        names_program_ |=
            word == "-m" || word == "--module" || word == "--no-python" || word == "--no_python";
        open = option_waiting(word);
        note_runs_dir(word);
      } else {
        ++plain_words;
      }
    }
    if (open != nullptr) return complete_value(*open, "");
    const std::size_t equals = typed_.find('=');
    if (typed_.starts_with("--") && equals != std::string::npos) {
      const std::string name = typed_.substr(2, equals - 2);
      const OptionRow* option = find_option(command_->name, name);
      if (option != nullptr) complete_value(*option, typed_.substr(0, equals + 1));
      return;
    }
    if (typed_.starts_with('-')) return add_options();
    complete_word(plain_words);
  }

  // What stands after `--` is a program's, or a script's arguments after a config.
  void complete_program() {
    if (command_->words == CommandRow::Words::kConfig) done_.rest = Completion::Rest::kCommand;
  }

  // What follows the first word of a program is the program's: no option of ours has a place there.
  bool begins_program(const std::string& word) const {
    if (command_->words != CommandRow::Words::kConfig) return false;
    if (word.size() > 1 && word.front() == '-') return false;
    return names_program_ || word.ends_with(".py") || !has_config_ending(word);
  }

  static bool has_config_ending(std::string_view word) {
    const auto endings = split(kConfigEndings, ' ');
    return std::any_of(endings.begin(), endings.end(),
                       [&](const std::string& ending) { return word.ends_with("." + ending); });
  }

  void complete_arguments() {
    if (!typed_.starts_with('-')) done_.rest = Completion::Rest::kFiles;
  }

  const OptionRow* option_waiting(const std::string& word) const {
    if (word.find('=') != std::string::npos) return nullptr;
    for (const OptionRow* option : options_of(command_->name)) {
      const bool by_letter = word.size() == 2 && word[1] == option->short_name;
      const auto names = long_names(*option);
      const bool by_name = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return word == "--" + name || word == "-" + name;
      });
      if ((by_letter || by_name) && option->takes_value()) return option;
    }
    return nullptr;
  }

  // Runs are looked for where this command line says.
  void note_runs_dir(const std::string& word) {
    const std::string option = "--runs-dir";
    if (word.starts_with(option + "=")) runs_dir_ = word.substr(option.size() + 1);
    const auto at = std::find(words_.begin(), words_.end(), option);
    if (at != words_.end() && at + 1 != words_.end()) runs_dir_ = *(at + 1);
  }

  void complete_value(const OptionRow& option, const std::string& prefix) {
    for (const std::string& choice : choices_of(option)) add(prefix + choice, "");
    if (option.name == "stream") complete_list(stream_names(), prefix);
    if (option.argument == "DIR") done_.rest = Completion::Rest::kDirectories;
    if (option.argument == "FILE") done_.rest = Completion::Rest::kFiles;
    if (option.name == "process-count-per-node") {
      for (const char* word : {"auto", "cpu", "gpu"}) add(prefix + word, "");
    }
  }

  // The last part of "stdout,eve".
  void complete_list(const std::vector<std::string>& names, const std::string& prefix) {
    const std::size_t comma = typed_.rfind(',');
    const std::string before = comma == std::string::npos ? prefix : typed_.substr(0, comma + 1);
    for (const std::string& name : names) add(before + name, "");
  }

  void complete_word(std::size_t plain_words) {
    using Words = CommandRow::Words;
    if (plain_words > 0) return;
    if (command_->words == Words::kConfig) {
      done_.rest = Completion::Rest::kFiles;
      done_.endings = kConfigEndings;
    } else if (command_->words == Words::kRun) {
      add("latest", "the newest run");
      for (const std::string& run : runs_in_(runs_dir_)) add(run, "");
    } else if (command_->name == "help") {
      add_commands();
    } else if (command_->name == "completion") {
      for (const char* shell : {"bash", "zsh", "fish"}) add(shell, "");
    }
  }

  void add_commands() {
    for (const CommandRow& row : commands()) {
      if (!row.hidden) add(std::string(row.name), std::string(row.summary));
    }
    add("help", "print the help of a command");
  }

  void add_options() {
    for (const OptionRow* option : options_of(command_->name)) {
      if (!option->hidden) add("--" + std::string(option->name), std::string(option->help));
    }
  }

  void add(std::string text, std::string description) {
    if (text.starts_with(typed_)) {
      done_.candidates.push_back({std::move(text), std::move(description)});
    }
  }

  const std::span<const std::string> words_;
  std::string runs_dir_;
  const RunsIn& runs_in_;
  std::string typed_;
  bool names_program_ = false;  // -m or --no-python: no config follows
  const CommandRow* command_ = nullptr;
  Completion done_;
};

}  // namespace

Completion complete(std::span<const std::string> words, const std::string& runs_dir,
                    const RunsIn& runs_in) {
  return Completer(words, runs_dir, runs_in).complete();
}

std::string completion_lines(const Completion& completion) {
  std::string lines;
  for (const Candidate& each : completion.candidates) {
    lines += each.text + (each.description.empty() ? "" : "\t" + each.description) + "\n";
  }
  switch (completion.rest) {
    case Completion::Rest::kNothing: break;
    case Completion::Rest::kFiles:
      lines += ":files " + std::string(completion.endings) + "\n";
      break;
    case Completion::Rest::kDirectories: lines += ":directories\n"; break;
    case Completion::Rest::kCommand: lines += ":command\n"; break;
  }
  return lines;
}

}  // namespace muster::cli
