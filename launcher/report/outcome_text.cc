#include "launcher/report/outcome_text.h"

#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "base/exit_code.h"
#include "base/process_limits.h"
#include "base/text.h"
#include "collector/store/run_directory.h"
#include "launcher/plan/tensorflow_roles.h"
#include "launcher/report/console_text.h"
#include "launcher/report/last_lines.h"
#include "launcher/report/missing_bytes.h"
#include "launcher/report/outcome_groups.h"
#include "launcher/report/status_line.h"

// The report answers, in this order, what a person asks after a failure: who was it, what did it
// say, what about the others, is anything missing, where is the rest, and whose exit code is this.
namespace muster::report {
namespace {

using plan::FirstFailure;
using plan::RunOutcome;

constexpr std::size_t kLastLines = 20;
constexpr std::size_t kLastBytes = 256 * 1024;
constexpr int kLongestLine = 400;  // code points of a rank's line
constexpr int kLongestException = 160;
constexpr std::size_t kMostEntries = 5;  // gaps, warnings; run.json has all

class Report {
 public:
  Report(const RunOutcome& outcome, const plan::LaunchPlan& plan, const ReportContext& context)
      : outcome_(outcome), plan_(plan), context_(context), directory_(context.run_directory) {}

  std::string success();
  std::string failure();

 private:
  void line(const std::string& words) { text_ += "  " + words + "\n"; }
  void quote(const std::vector<std::string>& lines);
  std::string headline() const;
  std::string headline_of_rank(const FirstFailure& first, int rank) const;
  std::string run_took() const;
  const plan::RankOutcome* outcome_of(int rank) const;
  std::string node_of(int rank) const;
  void evidence();
  std::string hint_of_evidence() const;
  void last_words(int rank);
  void mark_missing_end(const std::filesystem::path& stream);
  void mpirun_words();
  void servers();
  void gaps();
  void warnings();
  void outputs();
  void hint();
  std::string taken_port(std::span<const char* const> ports) const;
  bool lacks_python() const;

  const RunOutcome& outcome_;
  const plan::LaunchPlan& plan_;
  const ReportContext& context_;
  store::RunDirectory directory_;
  std::string text_;
  std::vector<std::string> last_words_;  // of the first rank to fail, as they are quoted
};

std::string Report::run_took() const {
  return format_duration(outcome_.ended_at - outcome_.started_at);
}

std::string Report::success() {
  text_ = "muster: run " + context_.run_id + " succeeded: " + counted(plan_.world_size, "rank") +
          " in " + run_took() + "\n";
  servers();
  gaps();
  warnings();
  outputs();
  for (const std::string& each : context_.uploads) line(each);
  line("what the ranks wrote: " + (directory_.root() / "ranks").string());
  return std::move(text_);
}

std::string Report::failure() {
  text_ = "muster: " + headline() + "\n";
  const auto& first = outcome_.first_failure;
  if (first && !first->doubt.empty()) line(first->doubt);
  evidence();
  if (first && first->rank) last_words(*first->rank);
  mpirun_words();
  for (const std::string& sentence : others_text(outcome_)) line(sentence);
  gaps();
  warnings();
  if (context_.outputs.file_count > 0) outputs();
  for (const std::string& each : context_.uploads) line(each);
  hint();
  line("everything that the ranks wrote: " + (directory_.root() / "ranks").string());

  const bool training = first && first->origin == plan::FailureOrigin::kTraining;
  line("exit code " + std::to_string(outcome_.exit_code) +
       (training ? ", origin: training" : ", origin: muster"));
  return std::move(text_);
}

// They never end by themselves, so that their end is nobody's failure.
void Report::servers() {
  std::vector<int> ended;
  for (const int rank : plan::servers(plan_)) {
    if (outcome_of(rank) != nullptr && outcome_of(rank)->end == plan::RankEnd::kStopped) {
      ended.push_back(rank);
    }
  }
  if (ended.empty()) return;
  const bool one = ended.size() == 1;
  line(rank_list(ended) + (one ? ", a parameter server, was" : ", parameter servers, were") +
       " ended once every worker had ended");
}

// "rank 3 failed: exited with 7"; without a description no colon either.
std::string with_colon(const std::string& words, const std::string& description) {
  return description.empty() ? words : words + ": " + description;
}

// What a program wrote, safe for a terminal.
std::string printable(const std::string& text) {
  std::string lines;
  ConsoleLines console({false, ""});
  console.add(text, lines);
  console.flush(lines);
  if (lines.ends_with('\n')) lines.pop_back();
  return lines;
}

// " (ValueError: loss is nan at step 1200)", from a rank whose program exited.
std::string exception_text(const plan::RankOutcome* rank) {
  const bool told = rank != nullptr && rank->error && rank->status.how == ExitStatus::How::kExited;
  if (!told) return "";
  const std::string& message = rank->error->message;
  return " (" + elided(printable(message.substr(0, message.find('\n'))), kLongestException) + ")";
}

// From "killed by SIGKILL", with or without the subject before it.
std::string mpirun_ended(std::string words) {
  if (words.empty()) return "mpirun ended before the ranks did";
  if (words.starts_with("mpirun ")) words.erase(0, 7);
  return (words.starts_with("killed ") ? "mpirun was " : "mpirun ") + words;
}

std::string Report::headline() const {
  const std::string run = "run " + context_.run_id;
  if (!outcome_.first_failure) {
    const bool cancelled = outcome_.status == plan::RunStatus::kCancelled;
    return run + (cancelled ? " was cancelled after " : " failed after ") + run_took();
  }
  const FirstFailure& first = *outcome_.first_failure;
  if (first.rank) return headline_of_rank(first, *first.rank);
  const std::string after = " after " + run_took();
  if (first.how == "stopped") {
    // "stopped by SIGTERM", "stopped by muster cancel (user anna)"
    const bool says_who = first.description.starts_with("stopped by ");
    return run + " was cancelled" + (says_who ? first.description.substr(7) : "") + after;
  }
  if (first.how == "mpirun_ended") {
    return mpirun_ended(first.description) + "," + after;
  }
  if (first.how == "start_timeout") {
    return "only " + std::to_string(first.value) + " of " + counted(plan_.world_size, "rank") +
           " had started within " + format_duration(plan_.limits.join_timeout.value) +
           " (join_timeout)";
  }
  if (first.how == "time_limit") {
    const auto& limit = plan_.limits.max_run_duration.value;
    const std::string of = limit ? " of " + format_duration(*limit) : "";
    return run + " was stopped at its time limit" + of + " (max_run_duration_seconds)";
  }
  if (first.how == "run_directory") {
    return with_colon(
        "run directory " + context_.run_directory + " could not be written any more," + after,
        first.description);
  }
  return with_colon(run + " failed" + after, first.description);
}

std::string Report::headline_of_rank(const FirstFailure& first, int rank) const {
  const plan::RankOutcome* ended = outcome_of(rank);
  const std::string who = "rank " + std::to_string(rank) + node_of(rank);
  if (first.how == "exec_failed") {
    return with_colon(who + " could not start its program", first.description);
  }
  const bool timed = ended != nullptr && ended->started_at && ended->ended_at;
  const std::string took =
      timed ? format_duration(*ended->ended_at - *ended->started_at) : run_took();
  if (first.how == "agent_lost") {
    // Without evidence the description says no more than this sentence.
    const std::string lost = "its agent (Muster's own program) ended without a report";
    const bool known = ended != nullptr && !ended->detail.empty();
    return with_colon(who + " was lost after " + took + ", because " + lost,
                      known ? ended->detail : "");
  }
  const std::string failed = plan_.world_size == 1 ? " failed after " : " failed first, after ";
  return with_colon(who + failed + took, first.description) + exception_text(ended);
}

const plan::RankOutcome* Report::outcome_of(int rank) const {
  const auto found = std::find_if(outcome_.ranks.begin(), outcome_.ranks.end(),
                                  [&](const auto& candidate) { return candidate.rank == rank; });
  return found == outcome_.ranks.end() ? nullptr : &*found;
}

// " on node-a", or "" when the plan does not say.
std::string Report::node_of(int rank) const {
  for (const plan::RankPlacement& placement : plan_.ranks) {
    if (placement.rank != rank) continue;
    for (const plan::NodePlan& node : plan_.nodes) {
      if (node.node_rank == placement.node_rank && !node.hostname.empty()) {
        return " on " + node.hostname;
      }
    }
  }
  return {};
}

void Report::evidence() {
  if (!outcome_.first_failure || !outcome_.first_failure->rank) return;
  const plan::RankOutcome* ended = outcome_of(*outcome_.first_failure->rank);
  if (ended == nullptr) return;
  const bool told = ended->detail.empty() || outcome_.first_failure->how == "agent_lost";
  if (!told) line(ended->detail);
  for (const plan::Evidence& each : ended->evidence) {
    // Why a program could not be executed is in the headline.
    if (outcome_.first_failure->description.find(each.text) != std::string::npos) continue;
    line(elided(printable(each.text), kLongestLine));
  }
}

// The first one: what explains most comes first.
std::string Report::hint_of_evidence() const {
  const auto rank = outcome_.first_failure->rank;
  const plan::RankOutcome* ended = rank ? outcome_of(*rank) : nullptr;
  if (ended == nullptr) return {};
  for (const plan::Evidence& each : ended->evidence) {
    if (!each.hint.empty()) return each.hint;
  }
  return {};
}

void Report::quote(const std::vector<std::string>& lines) {
  for (const std::string& words : lines) line("  | " + elided(words, kLongestLine));
}

void Report::last_words(int rank) {
  const plan::RankOutcome* ended = outcome_of(rank);
  if (ended == nullptr || ended->end == plan::RankEnd::kNotStarted ||
      ended->end == plan::RankEnd::kExecFailed) {
    return;
  }
  const std::filesystem::path stderr_log = directory_.rank_stderr(rank, context_.attempt);
  last_words_ = last_lines(stderr_log, kLastLines, kLastBytes);
  mark_missing_end(stderr_log);
  if (!last_words_.empty()) {
    line("its last lines on stderr (" + stderr_log.string() + "):");
    return quote(last_words_);
  }
  const std::filesystem::path stdout_log = directory_.rank_stdout(rank, context_.attempt);
  last_words_ = last_lines(stdout_log, kLastLines, kLastBytes);
  mark_missing_end(stdout_log);
  if (last_words_.empty()) return line("it wrote nothing to stderr or stdout");
  line("it wrote nothing to stderr; its last lines on stdout (" + stdout_log.string() + "):");
  quote(last_words_);
}

// What is missing at the end of a stream is no hole of its file.
void Report::mark_missing_end(const std::filesystem::path& stream) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(stream, error);
  const std::string name = stream.lexically_relative(directory_.root()).string();
  for (const plan::StreamGap& gap : outcome_.gaps) {
    if (error || gap.stream != name || gap.offset < size || gap.length == 0U) continue;
    std::optional<std::uint64_t> to;
    if (gap.length) to = gap.offset + *gap.length;
    last_words_.push_back(missing_bytes_line(gap.offset, to, gap.reason));
  }
}

// Only a failure that is not the training program's can be explained by mpirun.
void Report::mpirun_words() {
  const bool about_muster = outcome_.first_failure &&
                            outcome_.first_failure->origin == plan::FailureOrigin::kMuster &&
                            outcome_.status != plan::RunStatus::kCancelled;
  if (!about_muster || context_.mpirun_log_tail.empty()) return;
  line("mpirun's last lines (" + directory_.mpirun_log().string() + "):");
  quote(context_.mpirun_log_tail);
}

void Report::gaps() {
  for (std::size_t at = 0; at < std::min(outcome_.gaps.size(), kMostEntries); ++at) {
    const plan::StreamGap& gap = outcome_.gaps[at];
    const std::string length = gap.length ? counted(static_cast<std::int64_t>(*gap.length), "byte")
                                          : "an unknown number of bytes";
    line("missing: " + length + " of " + gap.stream + " from offset " + std::to_string(gap.offset) +
         " (" + gap.reason + ")");
  }
  if (outcome_.gaps.size() > kMostEntries) {
    line("missing: " + std::to_string(outcome_.gaps.size() - kMostEntries) + " more, listed in " +
         directory_.run_json().string());
  }
  const plan::Incomplete& incomplete = outcome_.incomplete;
  if (incomplete.dropped_bytes > 0) {
    line("missing: " + format_bytes(incomplete.dropped_bytes) + " in " +
         counted(static_cast<std::int64_t>(incomplete.dropped_ranges), "range") +
         ", dropped for want of room (streams.max_size); `muster verify` says of which streams");
  }
}

void Report::warnings() {
  std::vector<std::string> all = outcome_.warnings;
  // The headline has said it.
  if (outcome_.first_failure && outcome_.first_failure->origin == plan::FailureOrigin::kMuster) {
    std::erase(all, outcome_.first_failure->description);
  }
  // A sandbox refuses all ranks alike: said once.
  std::map<std::string, std::vector<int>> noted;
  for (const plan::RankOutcome& rank : outcome_.ranks) {
    if (!rank.binding_note.empty()) noted[rank.binding_note].push_back(rank.rank);
  }
  for (const auto& [note, ranks] : noted) all.push_back(rank_list(ranks) + ": " + note);
  for (std::string& text : placement_text(outcome_.ranks)) all.push_back(std::move(text));
  for (std::size_t at = 0; at < std::min(all.size(), kMostEntries); ++at) {
    line("warning: " + all[at]);
  }
  if (all.size() > kMostEntries) {
    line("warning: " + std::to_string(all.size() - kMostEntries) + " more, listed in " +
         directory_.run_json().string());
  }
}

void Report::outputs() {
  if (context_.outputs.file_count == 0) return;
  line("results: " + directory_.outputs().string() + " (" +
       counted(static_cast<std::int64_t>(context_.outputs.file_count), "file") + ", " +
       format_bytes(context_.outputs.bytes) + ")");
}

// Whether it runs `python`, itself or by the shell: Debian has python3 alone.
bool wants_python(const std::vector<std::string>& argv) {
  const bool shell = argv.size() > 2 && argv[0] == "/bin/sh";
  return !argv.empty() && (argv[0] == "python" || (shell && argv[2].starts_with("python ")));
}

// Every torchrun takes one of these unless it is told another: ranks that start it behind Muster's
// back, in a script of their own, all take one port.
constexpr std::array kTorchrunPorts = {"29400", "29500"};
// What helpers that came from Azure ML take, where one job has a node for itself.
constexpr std::array kHelperPorts = {"54965", "6105"};

bool has_number(const std::string& line, const std::string& number) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (auto at = line.find(number); at != std::string::npos; at = line.find(number, at + 1)) {
    const auto end = at + number.size();
    const bool longer =
        (at > 0 && is_digit(line[at - 1])) || (end < line.size() && is_digit(line[end]));
    if (!longer) return true;
  }
  return false;
}

// The one of `ports` that the last words say is taken; "" when that is not why it failed.  The
// run's own MASTER_PORT is none: then the fixed port is not the script's idea.
std::string Report::taken_port(std::span<const char* const> ports) const {
  const auto said = [&](const char* words) {
    return std::any_of(last_words_.begin(), last_words_.end(),
                       [&](const auto& line) { return line.find(words) != std::string::npos; });
  };
  if (!said("ddress already in use") && !said("EADDRINUSE")) return "";
  for (const char* port : ports) {
    const bool own = std::any_of(
        plan_.common_environment.begin(), plan_.common_environment.end(),
        [&](const auto& each) { return each.name == "MASTER_PORT" && each.value == port; });
    const bool named = std::any_of(last_words_.begin(), last_words_.end(),
                                   [&](const std::string& line) { return has_number(line, port); });
    if (!own && named) return port;
  }
  return "";
}

// Whether a line is a shell's or env's about a `python` that is not there: "sh: 1: python: not
// found", "bash: line 1: python: command not found", "/usr/bin/env: 'python': No such file or
// directory".
bool tells_missing_python(std::string_view line) {
  for (const std::string_view words :
       {" python: not found", " python: command not found",
        "env: 'python': ", "env: \u2018python\u2019: ", " 'python': No such file or directory"}) {
    if (line.find(words) != line.npos) return true;
  }
  return line.starts_with("python: not found") || line.starts_with("python: command not found");
}

bool Report::lacks_python() const {
  const auto& first = *outcome_.first_failure;
  if (first.value != 127 || context_.python3.empty()) return false;
  if (wants_python(plan_.argv)) return true;
  return std::any_of(last_words_.begin(), last_words_.end(),
                     [](const std::string& line) { return tells_missing_python(line); });
}

// For failures of the surroundings; a training program's failure is explained by its own words.
void Report::hint() {
  if (!outcome_.first_failure) return;
  if (const std::string known = hint_of_evidence(); !known.empty()) return line("hint: " + known);
  const std::string& how = outcome_.first_failure->how;
  const std::string helpers_port = taken_port(kHelperPorts);
  if (plan_.world_size > 1 && !taken_port(kTorchrunPorts).empty()) {
    line(
        "hint: when the ranks start torchrun in a script, each takes the same port: write "
        "PET_NNODES=$WORLD_SIZE PET_NODE_RANK=$RANK PET_MASTER_ADDR=$MASTER_ADDR "
        "PET_MASTER_PORT=$MASTER_PORT before it there (docs/rank-environment.md)");
  } else if (!helpers_port.empty()) {
    line("hint: the script takes port " + helpers_port +
         " whatever MASTER_PORT says, and another program on this node has it: leave out the line "
         "that sets it (docs/rank-environment.md)");
  } else if (how == "run_directory") {
    line("hint: make room there, or choose another place with --runs-dir or MUSTER_RUNS_DIR");
  } else if (how == "exec_failed" &&
             outcome_.first_failure->description.find("starting a process") != std::string::npos) {
    line(std::string("hint: ") + kProcessLimitHint);
  } else if (lacks_python()) {
    line("hint: there is no python on the ranks' PATH; python3 is " + context_.python3);
  } else if (how == "exec_failed" && outcome_.first_failure->value == 127) {
    line(
        "hint: a program is found on PATH or by a path (./train.sh); a Python script needs its "
        "interpreter: python3 train.py");
  } else if (how == "exec_failed" && outcome_.first_failure->value == 126) {
    line(
        "hint: a script must be executable (chmod +x), or be given to its interpreter: "
        "python3 train.py");
  } else if (how == "start_timeout" && plan_.mpirun) {
    line("hint: see whether `mpirun -np 2 true` works here; limits.join_timeout sets the time");
  } else if (how == "mpirun_ended" && outcome_.exit_code == to_int(ExitCode::kTimeout)) {
    line("hint: see whether `mpirun -np 2 true` works here; --backend direct runs without MPI");
  }
}

}  // namespace

std::string report_text(const RunOutcome& outcome, const plan::LaunchPlan& plan,
                        const ReportContext& context) {
  Report report(outcome, plan, context);
  return outcome.status == plan::RunStatus::kSucceeded ? report.success() : report.failure();
}

}  // namespace muster::report
