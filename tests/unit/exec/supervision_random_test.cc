// Runs that go wrong in any way: whatever happens, and in which order, the run ends, once, with a
// verdict that fits.  The world below reacts to the actions as agents, mpirun and pipes do.

#include <map>
#include <random>

#include "tests/unit/exec/supervision_fixture.h"

namespace muster::exec {
namespace {

class RandomRun {
 public:
  explicit RandomRun(unsigned seed) : random_(seed), size_(1 + below(5)), ranks_(size()) {
    limits_.join_timeout.value = std::chrono::milliseconds(500 + below(2000));
    limits_.stop_grace_period.value = std::chrono::milliseconds(below(3) * 400);
    limits_.failure_grace_period.value = std::chrono::milliseconds(below(3) * 400);
    limits_.drain_timeout.value = std::chrono::milliseconds(100 + below(1000));
    if (below(4) == 0) limits_.max_run_duration.value = std::chrono::seconds(1 + below(3));
    if (below(3) == 0 && size_ > 1) server_ = size_ - 1;
    run_.emplace(size_, limits_, begin_, std::chrono::milliseconds(200),
                 server_ < 0 ? std::vector<int>{} : std::vector<int>{server_});
    for (int rank = 0; rank < size_; ++rank) {
      if (below(10) > 0) later(below(600), [this, rank] { assign(rank); });
    }
    if (below(4) == 0) later(below(4000), [this] { stop(); });
    if (below(4) == 0) later(below(4000), [this] { stop(); });
    if (below(6) == 0) later(below(4000), [this] { disk_fails(); });
    if (below(6) == 0) later(below(4000), [this] { lose_agent(below(size_)); });
    if (below(6) == 0) later(below(4000), [this] { end_starter(); });
    if (below(4) == 0) later(below(4000), [this] { signal_agents(); });
  }

  // "" when all that must hold did hold.
  std::string run() {
    constexpr int kVeryLong = 200'000;
    while (!finished_ && problem_.empty() && now_ < kVeryLong) {
      const auto deadline = run_->next_deadline();
      const int tick = deadline ? to_ms(*deadline) : kVeryLong;
      if (!events_.empty() && events_.begin()->first <= tick) {
        now_ = std::max(now_, events_.begin()->first);
        const auto happen = events_.begin()->second;
        events_.erase(events_.begin());
        happen();
      } else {
        now_ = std::max(now_, tick);
        if (deadline) take(run_->tick(time()));
      }
    }
    if (!problem_.empty()) return problem_;
    if (!finished_) return "the run never ended";
    return check_verdict();
  }

 private:
  enum class State { kWaiting, kAssigned, kRunning, kEnded, kQuiet };

  struct Rank {
    State state = State::kWaiting;
    bool agent = true;
    bool failed_by_itself = false;
  };

  std::size_t size() const { return static_cast<std::size_t>(size_); }
  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
  SteadyTime time() const { return begin_ + std::chrono::milliseconds(now_); }
  int to_ms(SteadyTime when) const {
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(when - begin_).count());
  }
  Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }

  void later(int ms, std::function<void()> what) { events_.emplace(now_ + ms, std::move(what)); }

  void assign(int rank) {
    if (!at(rank).agent || at(rank).state != State::kWaiting) return;
    if (!run_->accepts_ranks()) return lose_agent(rank);  // it is told to leave
    run_->rank_assigned(rank);
    at(rank).state = State::kAssigned;
    later(below(50), [this, rank] { start(rank); });
  }

  void start(int rank) {
    if (!at(rank).agent || at(rank).state != State::kAssigned) return;
    plan::RankOutcome outcome = run_->rank(rank);
    outcome.started_at = std::chrono::system_clock::now();
    at(rank).state = State::kRunning;
    const bool serves_for_ever = rank == server_ && below(4) > 0;
    if (!serves_for_ever) {
      later(below(4000), [this, rank] { end(rank, below(3) == 0 ? 1 + below(3) : 0, false); });
    }
    take(run_->rank_started(outcome, time()));
  }

  void end(int rank, int code, bool by_agent) {
    if (!at(rank).agent || at(rank).state != State::kRunning) return;
    at(rank).state = State::kEnded;
    const bool was_asked = rank == server_ && run_->ending_servers();
    at(rank).failed_by_itself = code != 0 && !run_->stopping() && !was_asked;
    plan::RankOutcome outcome = run_->rank(rank);
    outcome.end = plan::RankEnd::kExited;
    outcome.status = ExitStatus::exited(code);
    outcome.ended_at = std::chrono::system_clock::now();
    later(below(100), [this, rank] { become_quiet(rank); });  // the agent sees to it
    take(run_->rank_ended(outcome, by_agent, time()));
  }

  void become_quiet(int rank) {
    if (!at(rank).agent || at(rank).state != State::kEnded) return;
    at(rank).state = State::kQuiet;
    take(run_->rank_quiet(rank, time()));
  }

  void lose_agent(int rank) {
    if (!at(rank).agent) return;
    at(rank).agent = false;
    take(run_->agent_gone(rank, time()));
    for (const Rank& other : ranks_) {
      if (other.agent) return;
    }
    take(run_->all_agents_left(time()));
  }

  void end_starter() {
    if (std::exchange(starter_gone_, true)) return;
    take(run_->starter_ended(ExitStatus::exited(0), time()));
    for (int rank = 0; rank < size_; ++rank) {
      later(1 + below(20), [this, rank] { lose_agent(rank); });
    }
  }

  void stop() {
    stopped_ = true;
    take(run_->stop_requested(SIGTERM, time()));
  }

  void signal_agents() {
    for (int rank = 0; rank < size_; ++rank) {
      if (at(rank).agent) take(run_->agent_signalled(rank, SIGTERM, time()));
    }
  }

  void disk_fails() {
    plan::FirstFailure failure;
    failure.how = "run_directory";
    take(run_->muster_failed(failure, 73, time()));
  }

  void take(const Actions& actions) {
    for (const Action& action : actions) std::visit([this](const auto& one) { obey(one); }, action);
  }

  void obey(const SignalRanks& action) {
    for (const int rank : action.ranks) {
      if (at(rank).state != State::kRunning) problem_ = "a signal for a rank that does not run";
      if (below(2) == 0) later(below(200), [this, rank] { end(rank, below(2) * 143, false); });
    }
  }

  void obey(const KillRanks& action) {
    for (const int rank : action.ranks) {
      if (below(20) == 0) continue;  // stuck in the kernel
      later(below(20), [this, rank] {
        end(rank, 137, true);
        become_quiet(rank);
      });
    }
  }

  void obey(const LeaveAgents&) {
    if (std::exchange(left_, true)) problem_ = "left twice";
    for (int rank = 0; rank < size_; ++rank) {
      if (below(10) > 0) later(below(50), [this, rank] { lose_agent(rank); });
    }
    if (below(3) > 0) later(60 + below(400), [this] { end_starter(); });
    if (below(3) > 0) later(below(2000), [this] { take(run_->streams_drained(time())); });
  }

  void obey(const KillStarter&) {
    if (!left_) problem_ = "mpirun is killed while agents are needed";
    later(below(20), [this] { end_starter(); });
  }

  void obey(const CutStreams&) {
    if (!left_) problem_ = "streams are cut while ranks run";
  }

  void obey(const Finish&) {
    if (std::exchange(finished_, true)) problem_ = "finished twice";
    if (!left_ || !starter_gone_) problem_ = "finished too early";
  }

  std::string check_verdict() const {
    const plan::RunOutcome outcome = run_->outcome();
    bool all_succeeded = true;
    for (const plan::RankOutcome& rank : outcome.ranks) {
      const bool served = rank.rank == server_ && rank.end == plan::RankEnd::kStopped;
      all_succeeded =
          all_succeeded && (served || (rank.end == plan::RankEnd::kExited && rank.status.ok()));
    }
    for (const Rank& rank : ranks_) {
      if (rank.failed_by_itself && outcome.exit_code == 0) return "a failed rank, and code 0";
    }
    if (outcome.exit_code == 0 && !all_succeeded) return "code 0, but not every rank ended with 0";
    if (outcome.exit_code == 0 && outcome.first_failure) return "code 0 and a failure";
    if (outcome.exit_code != 0 && !outcome.first_failure) return "a code without a failure";
    if (outcome.status == plan::RunStatus::kCancelled && !stopped_) return "cancelled by nobody";
    return "";
  }

  std::mt19937 random_;
  int size_;
  std::vector<Rank> ranks_;
  int server_ = -1;  // a rank that others are served by, or none
  config::Limits limits_;
  const SteadyTime begin_ = SteadyTime(1000s);
  int now_ = 0;
  std::optional<Supervision> run_;
  std::multimap<int, std::function<void()>> events_;
  bool stopped_ = false;
  bool starter_gone_ = false;
  bool left_ = false;
  bool finished_ = false;
  std::string problem_;
};

TEST(RandomSupervisionTest, EveryRunEndsOnceWithAVerdictThatFits) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    ASSERT_EQ(RandomRun(seed).run(), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace muster::exec
