#include "launcher/exec/memory_verdict.h"

#include <csignal>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/text.h"

namespace muster::exec {
namespace {

using protocol::MemoryFacts;
using protocol::OomKill;

constexpr const char* kMemoryHint =
    "give the run more memory, or use less: fewer data loader workers, a smaller batch";

std::string process_text(const OomKill& kill) {
  return "process " + std::to_string(kill.pid()) + " (" + kill.name() + ")";
}

// ", limit 64.0 MiB, peak 64.0 MiB", with the cgroup whose limit it is when that is another one.
std::string limit_text(const MemoryFacts& facts) {
  if (facts.limit_bytes() == 0) return "";
  std::string text = ", limit " + format_bytes(facts.limit_bytes());
  if (facts.limited() != facts.cgroup()) text += " (of " + facts.limited() + ")";
  if (facts.peak_bytes() > 0) text += ", peak " + format_bytes(facts.peak_bytes());
  return text;
}

std::string usage_text(const plan::RankOutcome& rank) {
  if (rank.usage.max_rss_bytes == 0) return "";
  return "; the process itself had used up to " + format_bytes(rank.usage.max_rss_bytes);
}

std::string counted_text(const MemoryFacts& facts) {
  const auto kills = static_cast<std::int64_t>(facts.kills() + facts.kills_below());
  return "counted " + counted(kills, "OOM kill") + " while it ran" + limit_text(facts);
}

// "/docker/ab" of the kernel's log is "/" or "/ab" to who sees less of the hierarchy.
bool is_in(const std::string& logged, const std::string& cgroup) {
  return logged.empty() || cgroup.empty() || cgroup == "/" ||
         logged.find(cgroup) != std::string::npos;
}

// As a word of its own: "DataLoader worker (pid 1234) is killed by signal: Killed."
bool names(std::string_view words, int pid) {
  const std::string number = std::to_string(pid);
  const auto is_digit = [](char letter) { return letter >= '0' && letter <= '9'; };
  for (std::size_t at = words.find(number); at != words.npos; at = words.find(number, at + 1)) {
    const std::size_t end = at + number.size();
    if ((at == 0 || !is_digit(words[at - 1])) && (end == words.size() || !is_digit(words[end]))) {
      return true;
    }
  }
  return false;
}

class Verdict {
 public:
  Verdict(const MemoryFacts& facts, std::string_view last_words, const Company& company,
          plan::RankOutcome& rank)
      : facts_(facts), last_words_(last_words), company_(company), rank_(rank) {
    if (facts.kernel_log() != MemoryFacts::READ) return;
    for (const OomKill& kill : facts.logged()) {
      if (kill.pid() == rank.training_pid) {
        own_kill_ = &kill;
      } else if (is_in(kill.cgroup(), facts.cgroup())) {
        other_kills_.push_back(&kill);
      }
    }
  }

  void give() {
    if (rank_.status == ExitStatus::signaled(SIGKILL)) return give_of_a_kill();
    if (kills() > 0) give_of_another();
  }

 private:
  std::uint64_t kills() const { return facts_.kills() + facts_.kills_below(); }

  void add(std::string kind, std::string text, std::string hint = {}) {
    rank_.evidence.push_back({std::move(kind), std::move(text), std::move(hint)});
  }

  void give_of_a_kill() {
    if (own_kill_ != nullptr) return give_of_logged_kill();
    if (!facts_.unreadable().empty()) return give_without_counters();
    if (kills() == 0) {
      rank_.cause = "killed_from_outside";
      return add(
          "killed_from_outside",
          "it was not killed for memory: its memory cgroup " + facts_.cgroup() +
              " counted no OOM kill while it ran" + elsewhere() +
              ", so the signal came from itself or from elsewhere (kill -9, a scheduler, a limit)");
    }
    // The log is complete, and names others.
    if (other_kills_.size() >= kills()) {
      rank_.cause = "killed_from_outside";
      add("killed_from_outside",
          "it was not killed for memory: the kernel's log names another process, so the signal "
          "came from itself or from elsewhere (kill -9, a scheduler, a limit)");
      return give_of_another();
    }
    give_of_counted_kill();
  }

  void give_of_logged_kill() {
    rank_.cause = "oom";
    std::string where = "the whole machine was out of memory";
    if (own_kill_->limited() == "?") {
      where = "its memory cgroup " + facts_.cgroup() + " was out of memory" + limit_text(facts_);
    } else if (!own_kill_->limited().empty()) {
      where = "memory cgroup " + own_kill_->limited() + " was at its limit";
      if (is_in(own_kill_->limited(), facts_.limited()) && facts_.limit_bytes() > 0) {
        where += " of " + format_bytes(facts_.limit_bytes());
      }
    }
    add("oom_kill",
        "the kernel's OOM killer ended " + process_text(*own_kill_) + ": " + where +
            usage_text(rank_),
        kMemoryHint);
  }

  void give_of_counted_kill() {
    const std::string cgroup = "its memory cgroup " + facts_.cgroup() + " ";
    const bool alone = facts_.sharers() == 0 && company_.killed_with_it <= 1;
    const bool early = facts_.late_kills() == 0;
    // Who is alone may have filled /dev/shm, which is no process's own.
    if (early || (!alone && is_small())) return give_of_doubtful_kill(early);
    if (facts_.kills() == 0) {
      rank_.cause = "oom_likely";
      return add(
          "oom_kill",
          "a cgroup below " + facts_.cgroup() + " " + counted_text(facts_) + usage_text(rank_),
          kMemoryHint);
    }
    if (alone) {
      rank_.cause = "oom";
      return add("oom_kill",
                 cgroup + counted_text(facts_) + ", and nothing but this rank is in it" +
                     usage_text(rank_),
                 kMemoryHint);
    }
    rank_.cause = "oom_likely";
    std::string text = cgroup + counted_text(facts_) + usage_text(rank_) + "; " + sharing();
    if (company_.killed_with_it > static_cast<int>(facts_.kills())) {
      text += ", and of the " + std::to_string(company_.killed_with_it) +
              " ranks that SIGKILL ended there " + std::to_string(facts_.kills()) +
              " at most can be meant";
    }
    add("oom_kill", text, kMemoryHint);
  }

  // Counted, but it may well have been another process, and this one's signal from elsewhere.
  void give_of_doubtful_kill(bool early) {
    const std::string where = facts_.kills() == 0 ? "a cgroup below " : "its memory cgroup ";
    std::string text = "whether it was killed for memory is not known: " + where + facts_.cgroup() +
                       " " + counted_text(facts_);
    if (early) {
      text +=
          ", but none in its last " + format_duration(std::chrono::milliseconds(facts_.late_ms()));
    }
    add("oom_unknown", text + usage_text(rank_) + "; " + sharing());
  }

  // The kernel chooses the largest process.  Of many ranks of one size each is small beside the
  // limit, and any can be chosen; but then together they fill it.
  bool is_small() const {
    const std::uint64_t own = rank_.usage.max_rss_bytes;
    const std::uint64_t limit = facts_.limit_bytes();
    if (own == 0 || own >= limit / 4) return false;
    return company_.peak_sum < limit / 2 || own < company_.largest_peak / 4;
  }

  void give_without_counters() {
    const std::string cannot = "its memory cgroup cannot be read (" + facts_.unreadable() + ")";
    if (facts_.has_machine_kills() && facts_.machine_kills() == 0) {
      rank_.cause = "killed_from_outside";
      return add("killed_from_outside",
                 "it was not killed for memory: no OOM kill was counted on the whole machine while "
                 "it ran, so the signal came from itself or from elsewhere (kill -9, a scheduler, "
                 "a limit)");
    }
    std::string text = "whether it was killed for memory cannot be known: " + cannot;
    if (facts_.has_machine_kills()) {
      text += ", and the whole machine counted " +
              counted(static_cast<std::int64_t>(facts_.machine_kills()), "OOM kill") +
              " while it ran";
    }
    add("oom_unknown", text);
  }

  // Of a process that is not this rank's main process: a data loader's worker, or another rank's.
  void give_of_another() {
    std::vector<std::string> processes;
    bool named = false;
    for (const OomKill* kill : other_kills_) {
      processes.push_back(process_text(*kill));
      named = named || names(last_words_, kill->pid());
    }
    // A shell ends with 128 + 9 when what it waits for was killed.
    const bool own =
        named || facts_.sharers() == 0 || rank_.status == ExitStatus::exited(128 + SIGKILL);
    std::string text = "its memory cgroup " + facts_.cgroup() + " " + counted_text(facts_) + ": ";
    if (!processes.empty()) {
      text += join(processes, ", ") + " was killed for memory";
      if (named) text += ", which its last lines name";
      if (!own) text += "; " + sharing();
    } else if (own) {
      text += "one of the processes that it had started was killed for memory";
    } else {
      text += "a process was killed for memory, maybe one that it had started; " + sharing();
    }
    if (own && rank_.cause.empty()) rank_.cause = "oom_of_child";
    add("oom_kill_of_other", text, rank_.cause == "oom_of_child" ? kMemoryHint : "");
  }

  // A process that has moved to another cgroup unseen would be counted there.
  std::string elsewhere() const {
    if (facts_.machine_kills() == 0) return "";
    return " (the whole machine counted " +
           std::to_string(static_cast<std::int64_t>(facts_.machine_kills())) + ")";
  }

  std::string sharing() const {
    return "the cgroup also has " + counted(facts_.sharers(), "process") + " of others";
  }

  const MemoryFacts& facts_;
  std::string_view last_words_;
  const Company& company_;
  plan::RankOutcome& rank_;
  const OomKill* own_kill_ = nullptr;
  std::vector<const OomKill*> other_kills_;
};

}  // namespace

void judge_memory(const MemoryFacts& facts, std::string_view last_words, const Company& company,
                  plan::RankOutcome& rank) {
  Verdict(facts, last_words, company, rank).give();
}

}  // namespace muster::exec
