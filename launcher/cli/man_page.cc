// muster(1) in roff: `muster help --man` prints it, and the build installs it.

#include <algorithm>

#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/given_values.h"
#include "launcher/cli/options.h"
#include "launcher/cli/reference_pages.h"
#include "muster/version.h"

namespace muster::cli {
namespace {

// Text as roff must see it: dashes that are dashes, and no line that looks like a request.
std::string roff(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if (c == '`') {  // Markdown's, in the meaning of variables
      continue;
    } else {
      if ((c == '.' || c == '\'') && (escaped.empty() || escaped.back() == '\n')) escaped += "\\&";
      escaped += c;
    }
  }
  return escaped;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string command_section(const CommandRow& command) {
  const std::string name(command.name);
  std::string text = ".SS muster " + roff(name) + "\n" + roff(command.summary) + ".\n";
  for (const std::string& line : split(command.usage, '\n')) {
    text += ".PP\n.B muster " + roff(name) + "\n" + roff(line) + "\n";
  }
  if (!command.details.empty()) {
    text += ".PP\n" + replaced(roff(command.details), "\n", "\n.PP\n") + "\n";
  }
  if (!command.examples.empty()) {
    text += ".PP\nExamples:\n.PP\n.nf\n.RS 4\n" + roff(command.examples) + "\n.RE\n.fi\n";
  }
  return text;
}

std::string option_entry(const OptionRow& option) {
  std::string text = ".TP\n";
  std::string names = "\\fB";
  if (option.short_name != '\0') names += std::string("\\-") + option.short_name + "\\fR, \\fB";
  names += roff("--" + std::string(option.name)) + "\\fR";
  if (option.takes_value()) names += " \\fI" + roff(option.argument) + "\\fR";
  text += names + "\n" + roff(option.help);
  if (!option.default_text.empty()) text += " [" + roff(option.default_text) + "]";
  text += ".\n";
  const std::string of =
      option.commands == "*" ? "every command" : join(split(option.commands, ' '), ", ");
  text += "Of: " + roff(of) + ".";
  if (const std::string variable = variable_of(option); !variable.empty()) {
    text += " Variable: " + roff(variable) + ".";
  }
  if (!option.other_names.empty()) {
    std::vector<std::string> others;
    for (const std::string& name : split(option.other_names, ' ')) others.push_back("--" + name);
    text += " Also: " + roff(join(others, ", ")) + ".";
  }
  return text + "\n";
}

constexpr const char* kDescription =
    R"(.SH DESCRIPTION
Muster starts distributed training, puts every rank on the right cores, and keeps hold of the run until
the last byte is stored and the last process is gone.
It reads a run config, or takes a program, starts the ranks with Open MPI's mpirun or by itself, stores
all that they write in a run directory, and ends with the exit code of the first rank that failed.
)";

constexpr const char* kEnd = R"(.SH EXIT STATUS
.TP
0
Every rank ended with 0.
.TP
1\-125
The training program's own.
.TP
126, 127, 128+n
The program cannot be executed, was not found, was killed by signal n.
.TP
64, 65, 69, 70, 73, 74, 75, 77
Muster's own: a wrong command line, a wrong config, missing resources, a failure of Muster or mpirun, a
run directory that cannot be written, a source that cannot be copied, a start that took too long, no
permission.
.TP
124, 130, 143
The time limit was reached, the run was stopped by Ctrl\-C, by SIGTERM.
.PP
The report and run.json say whether a code is the training's or Muster's.
.SH FILES
.TP
runs/\fIID\fR/
The run directory: run.json, plan.json, config.yaml, events.jsonl, ranks/, outputs/, logs/.
.TP
~/.cache/muster
What mpirun \-\-version said.
.SH SEE ALSO
.BR mpirun (1),
.BR lstopo (1)
)";

}  // namespace

std::string man_page() {
  std::string page = ".TH MUSTER 1 \"\" \"muster " + roff(kVersion) + "\" \"User Commands\"\n";
  page += ".SH NAME\nmuster \\- start distributed training and keep hold of it\n.SH SYNOPSIS\n";
  page += ".B muster\n.I COMMAND\n[\\fIoptions\\fR] [\\fIwords\\fR]\n";
  page += kDescription;
  page += ".SH COMMANDS\n";
  for (const CommandRow& command : commands()) {
    if (!command.hidden) page += command_section(command);
  }
  page += ".SH OPTIONS\n";
  for (const OptionRow& option : options()) {
    if (!option.hidden) page += option_entry(option);
  }
  page +=
      ".SH ENVIRONMENT\nEvery option has a variable, MUSTER_ and its name in capitals. A flag "
      "wins over a variable, a variable over the run config.\n";
  for (const OtherVariable& variable : other_variables()) {
    page += ".TP\n" + roff(variable.name) + "\n" + roff(variable.meaning) + ".\n";
  }
  return page + kEnd;
}

}  // namespace muster::cli
