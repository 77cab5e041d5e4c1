#include "launcher/exec/failure_evidence.h"

#include <csignal>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "base/fd.h"
#include "launcher/exec/error_file.h"
#include "launcher/exec/last_words.h"
#include "launcher/exec/memory_verdict.h"

namespace muster::exec {
namespace {

constexpr off_t kLastWords = 16 * 1024;

std::string end_of_file(const std::filesystem::path& path) {
  const Result<Fd> fd = open_file(path, O_RDONLY);
  struct stat status {};
  if (!fd || ::fstat(fd->get(), &status) != 0) return "";
  std::string text(static_cast<std::size_t>(std::min(status.st_size, kLastWords)), '\0');
  const ssize_t got = ::pread(fd->get(), text.data(), text.size(),
                              status.st_size - static_cast<off_t>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

Company company_in(const std::string& cgroup, const std::map<int, protocol::RankEvidence>& found,
                   const plan::RunOutcome& outcome) {
  Company company{0, 0, 0};
  for (const plan::RankOutcome& rank : outcome.ranks) {
    const auto facts = found.find(rank.rank);
    if (rank.end == plan::RankEnd::kExited && rank.status == ExitStatus::signaled(SIGKILL) &&
        facts != found.end() && facts->second.memory().cgroup() == cgroup) {
      ++company.killed_with_it;
    }
    company.peak_sum += rank.usage.max_rss_bytes;
    company.largest_peak = std::max(company.largest_peak, rank.usage.max_rss_bytes);
  }
  return company;
}

void add(std::optional<plan::Evidence> evidence, plan::RankOutcome& rank) {
  if (!evidence) return;
  if (rank.cause.empty()) rank.cause = evidence->kind;
  rank.evidence.push_back(std::move(*evidence));
}

// A full disk is a fact beside the failure; it is the cause when the rank said so, or got SIGBUS.
bool explains(const std::string& kind, const plan::RankOutcome& rank) {
  if (kind == "shm_full") return rank.status == ExitStatus::signaled(SIGBUS);
  return kind == "exec_format";
}

void add_findings(const protocol::RankEvidence& found, plan::RankOutcome& rank) {
  for (const protocol::Finding& finding : found.findings()) {
    if (rank.cause.empty() && explains(finding.kind(), rank)) rank.cause = finding.kind();
    rank.evidence.push_back({finding.kind(), finding.text(), finding.hint()});
  }
}

void add_last_words(const std::string& words, plan::RankOutcome& rank) {
  if (!rank.error && rank.status.how == ExitStatus::How::kExited) {
    if (auto exception = python_exception(words)) {
      rank.error = plan::TrainingError{std::move(*exception), std::nullopt, "stderr"};
    }
  }
  add(missing_library(words, rank.status), rank);
  add(lack_of_room(words), rank);
}

std::string with_cause(const std::string& description, const std::string& cause) {
  if (cause == "oom") return "killed for memory (SIGKILL)";
  if (cause == "oom_likely") return description + ", most likely for memory";
  return description;
}

}  // namespace

void explain_failures(const store::RunDirectory& directory, int attempt,
                      const std::map<int, protocol::RankEvidence>& found,
                      plan::RunOutcome& outcome) {
  for (plan::RankOutcome& rank : outcome.ranks) {
    rank.error = read_error_file(error_file_path(directory, rank.rank, attempt));
    const auto evidence = found.find(rank.rank);
    if (evidence == found.end()) continue;
    if (rank.end == plan::RankEnd::kExited) {
      const std::string words = end_of_file(directory.rank_stderr(rank.rank, attempt));
      const protocol::MemoryFacts& memory = evidence->second.memory();
      judge_memory(memory, words, company_in(memory.cgroup(), found, outcome), rank);
      add_findings(evidence->second, rank);
      add_last_words(words, rank);
    } else if (rank.end == plan::RankEnd::kExecFailed) {
      add_findings(evidence->second, rank);
    }

    if (outcome.first_failure && outcome.first_failure->rank == rank.rank) {
      outcome.first_failure->cause = rank.cause;
      outcome.first_failure->description =
          with_cause(outcome.first_failure->description, rank.cause);
    }
  }
}

}  // namespace muster::exec
