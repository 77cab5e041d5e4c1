#include "launcher/report/outcome_groups.h"

#include <csignal>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace muster::report {
namespace {

using plan::RankEnd;
using plan::RankOutcome;

struct Group {
  std::string end;
  std::vector<int> ranks;
};

// A handful of groups at most, in the order in which they are met.
void add_to_group(std::vector<Group>& groups, std::string end, int rank) {
  for (Group& group : groups) {
    if (group.end == end) return group.ranks.push_back(rank);
  }
  groups.push_back({std::move(end), {rank}});
}

// Signals that Muster, mpirun, a terminal or a scheduler end a rank with.
constexpr int kAskingSignals[] = {SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

// Any other came from the rank itself, at the same moment or on its way out.
bool is_crash(const ExitStatus& status) {
  return status.how == ExitStatus::How::kSignaled &&
         std::find(std::begin(kAskingSignals), std::end(kAskingSignals), status.value) ==
             std::end(kAskingSignals);
}

std::string way_of_stopping(const ExitStatus& status) {
  if (is_crash(status)) return "crashed with " + signal_name(status.value) + " while being ended";
  if (status.how == ExitStatus::How::kSignaled) return "by " + signal_name(status.value);
  return "by exiting with " + std::to_string(status.value) + " when asked";
}

// "6 by SIGTERM, 1 by SIGKILL", the most frequent first.
std::string ways_of_stopping(std::vector<Group> ways) {
  std::stable_sort(ways.begin(), ways.end(),
                   [](const Group& a, const Group& b) { return a.ranks.size() > b.ranks.size(); });
  std::vector<std::string> parts;
  for (const Group& way : ways) parts.push_back(std::to_string(way.ranks.size()) + " " + way.end);
  return join(parts, ", ");
}

// "process # (python3) may use CPU # only": what the differences of many ranks have in common.
std::string without_numbers(const std::string& text) {
  std::string form;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    const bool of_list = (c == ',' || c == '-') && form.ends_with('#');
    if (digit && !form.ends_with('#')) form += '#';
    if (!digit && !of_list) form += c;
  }
  return form;
}

}  // namespace

std::string rank_list(std::vector<int> ranks) {
  std::sort(ranks.begin(), ranks.end());
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t first = 0; first < ranks.size();) {
    std::size_t last = first;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (first > 0) text += ", ";
    text += std::to_string(ranks[first]);
    if (last > first) text += (last == first + 1 ? ", " : "-") + std::to_string(ranks[last]);
    first = last + 1;
  }
  return text;
}

std::string end_of(const RankOutcome& rank) {
  switch (rank.end) {
    case RankEnd::kNotStarted: return "was never started";
    case RankEnd::kExecFailed: return "could not start its program: " + rank.exec_failure;
    case RankEnd::kExited:
      return rank.cause == "oom" ? "was killed for memory (SIGKILL)" : rank.status.describe();
    case RankEnd::kStopped:
      return (is_crash(rank.status) ? "" : "was ended, ") + way_of_stopping(rank.status);
    case RankEnd::kAgentLost: return "lost its agent";
  }
  return "ended";
}

std::vector<std::string> placement_text(const std::vector<RankOutcome>& ranks) {
  struct Told {
    std::string form;
    std::string text;
    std::vector<int> ranks;
  };
  std::vector<Told> all;
  for (const RankOutcome& rank : ranks) {
    for (const std::string& difference : rank.placement_differences) {
      std::string form = without_numbers(difference);
      const auto found =
          std::find_if(all.begin(), all.end(), [&](const Told& told) { return told.form == form; });
      if (found == all.end()) {
        all.push_back({std::move(form), difference, {rank.rank}});
      } else if (found->ranks.back() != rank.rank) {
        found->ranks.push_back(rank.rank);
      }
    }
  }
  std::vector<std::string> texts;
  for (const Told& told : all) {
    const std::string example =
        told.ranks.size() == 1 ? "" : ", for example rank " + std::to_string(told.ranks.front());
    texts.push_back(rank_list(told.ranks) + example + ": " + told.text);
  }
  return texts;
}

std::vector<std::string> others_text(const plan::RunOutcome& outcome) {
  const int first = outcome.first_failure ? outcome.first_failure->rank.value_or(-1) : -1;
  std::string first_end;
  std::vector<int> stopped;
  std::vector<Group> ways;
  std::vector<Group> ended;
  std::size_t other_count = 0;
  for (const RankOutcome& rank : outcome.ranks) {
    if (rank.rank == first) {
      first_end = end_of(rank);
      continue;
    }
    ++other_count;
    // Ended by itself a moment after the first, and with the same code: it was not our doing.
    const bool same = rank.end == RankEnd::kStopped && first >= 0 &&
                      rank.status.how == ExitStatus::How::kExited && !rank.status.ok() &&
                      outcome.first_failure->how == "exited" &&
                      rank.status.value == outcome.first_failure->value;
    if (same) {
      add_to_group(ended, rank.status.describe(), rank.rank);
    } else if (rank.end == RankEnd::kStopped) {
      stopped.push_back(rank.rank);
      add_to_group(ways, way_of_stopping(rank.status), rank.rank);
    } else {
      add_to_group(ended, end_of(rank), rank.rank);
    }
  }

  const bool all = stopped.size() == other_count;
  const std::string count = std::to_string(other_count);
  const std::string everyone =
      first >= 0         ? (other_count == 1 ? "the other rank" : "the other " + count + " ranks")
      : other_count == 1 ? "the one rank"
      : other_count == 2 ? "both ranks"
                         : "all " + count + " ranks";
  std::vector<std::string> sentences;
  if (!stopped.empty()) {
    const bool cancelled = outcome.status == plan::RunStatus::kCancelled;
    sentences.push_back((all ? everyone : rank_list(stopped)) +
                        (stopped.size() == 1 ? " was ended" : " were ended") +
                        (cancelled ? ": " : " because of it: ") +
                        ways_of_stopping(std::move(ways)));
  }
  for (const Group& group : ended) {
    const std::string who = group.ranks.size() == other_count ? everyone : rank_list(group.ranks);
    if (group.end == first_end) {
      sentences.push_back(who + " failed in the same way");
    } else if (group.ranks.size() == outcome.ranks.size() && group.end == "was never started") {
      sentences.push_back("no rank was started");
    } else if (group.end == "exited with 0") {
      sentences.push_back(who + " had ended with 0");
    } else if (group.end.starts_with("was ") && group.ranks.size() > 1) {
      sentences.push_back(who + " were " + group.end.substr(4));
    } else {
      sentences.push_back(who + " " + group.end);
    }
  }
  return sentences;
}

}  // namespace muster::report
