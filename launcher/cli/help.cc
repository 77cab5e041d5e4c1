// One screen for each command, no line wider than a terminal of 80 columns.

#include "launcher/cli/help.h"

#include <algorithm>

#include "base/text.h"
#include "launcher/cli/options.h"
#include "launcher/cli/reference_pages.h"

namespace muster::cli {
namespace {

constexpr std::size_t kWidth = 80;
constexpr const char* kVariables =
    "Options have variables: MUSTER_ and the name in capitals, --runs-dir is MUSTER_RUNS_DIR; only "
    "--module, --no-python, --now and --help have none. "
    "A flag wins over a variable, a variable over the config.";
constexpr std::size_t kHelpColumn = 35;  // where an option's sentence begins

// Columns of a terminal: bytes that continue a character take none.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

// `text` in lines, each after the first beginning in `column`.
std::string wrapped(std::string_view text, std::size_t column) {
  std::string lines;
  std::size_t at = column;
  for (const std::string& word : split(text, ' ')) {
    const bool first = at == column;
    if (!first && at + 1 + width_of(word) > kWidth) {
      lines += "\n" + std::string(column, ' ');
      at = column;
    } else if (!first) {
      lines += ' ';
      ++at;
    }
    lines += word;
    at += width_of(word);
  }
  return lines;
}

std::string option_lines(const OptionRow& option) {
  std::string text = "  ";
  if (option.short_name != '\0') text += std::string("-") + option.short_name + ", ";
  text += "--" + std::string(option.name);
  if (option.takes_value()) text += " " + std::string(option.argument);
  const std::size_t width = width_of(text);
  text += width + 2 > kHelpColumn ? "\n" + std::string(kHelpColumn, ' ')
                                  : std::string(kHelpColumn - width, ' ');
  std::string sentence(option.help);
  if (!option.default_text.empty()) sentence += " [" + std::string(option.default_text) + "]";
  return text + wrapped(sentence, kHelpColumn) + "\n";
}

std::string usage_lines(const CommandRow& command) {
  std::string text;
  for (const std::string& line : split(command.usage, '\n')) {
    text += text.empty() ? "usage: " : "       ";
    text += "muster " + std::string(command.name) + " " + line + "\n";
  }
  return text;
}

std::string options_by_heading(std::string_view command) {
  auto rows = options_of(command);
  std::erase_if(rows, [](const OptionRow* row) { return row->hidden; });
  std::vector<std::string_view> headings;
  for (const OptionRow* row : rows) {
    if (std::find(headings.begin(), headings.end(), row->heading) == headings.end()) {
      headings.push_back(row->heading);
    }
  }
  std::string text;
  for (const std::string_view heading : headings) {
    text += "\n" + std::string(heading) + ":\n";
    for (const OptionRow* row : rows) {
      if (row->heading == heading) text += option_lines(*row);
    }
  }
  return text;
}

std::string paragraphs(std::string_view text) {
  std::string lines;
  if (text.empty()) return lines;
  for (const std::string& paragraph : split(text, '\n')) {
    lines += "\n" + wrapped(paragraph, 0) + "\n";
  }
  return lines;
}

bool has_variables(std::string_view command) {
  const auto rows = options_of(command);
  return std::any_of(rows.begin(), rows.end(),
                     [](const OptionRow* row) { return row->has_variable; });
}

}  // namespace

std::string help_text() {
  std::string text =
      "muster: starts distributed training and keeps hold of it until the last byte is\n"
      "stored\n\n"
      "usage: muster run CONFIG [-- extra script arguments]\n"
      "       muster run -n 4 -- python3 train.py …\n\n"
      "commands:\n";
  constexpr std::size_t kSummaryColumn = 14;
  for (const CommandRow& row : commands()) {
    if (row.hidden) continue;
    const std::string name = "  " + std::string(row.name);
    text += name + std::string(kSummaryColumn - name.size(), ' ') +
            wrapped(row.summary, kSummaryColumn) + "\n";
  }
  return text +
         "\n`muster COMMAND --help` lists a command's options; `muster --version` prints\n"
         "the version.\n";
}

std::string help_text(const CommandRow& command) {
  const std::string name(command.name);
  std::string text = wrapped("muster " + name + ": " + std::string(command.summary), 0) + "\n\n";
  text += usage_lines(command) + options_by_heading(name) + paragraphs(command.details);
  if (has_variables(command.name)) {
    text += "\n" + wrapped(kVariables, 0) + "\n";
  }
  if (!command.examples.empty()) {
    text += "\nexamples:\n";
    for (const std::string& line : split(command.examples, '\n')) text += "  " + line + "\n";
  }
  return text;
}

CommandResult help_command(const CommandLine& line) {
  if (line.has("markdown")) return print(environment_page());
  if (line.has("man")) return print(man_page());
  if (line.words.empty()) return print(help_text());
  const CommandRow* command = find_command(line.words.front());
  return print(command == nullptr ? help_text() : help_text(*command));
}

}  // namespace muster::cli
