// The words in which tests of Supervision are written: what happens to ranks, at which millisecond,
// and what the launcher is told to do, as one phrase for each action.
#pragma once

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "launcher/exec/supervision.h"

namespace muster::exec {

using namespace std::chrono_literals;
using Phrases = std::vector<std::string>;

inline std::string phrase(const Action& action) {
  const auto ranks_text = [](const std::vector<int>& ranks) {
    std::string text;
    for (const int rank : ranks) text += (text.empty() ? " " : ",") + std::to_string(rank);
    return text;
  };
  struct Visitor {
    decltype(ranks_text) ranks;
    std::string operator()(const SignalRanks& one) const {
      return signal_name(one.signal_number) + ranks(one.ranks);
    }
    std::string operator()(const KillRanks& one) const { return "kill" + ranks(one.ranks); }
    std::string operator()(const LeaveAgents&) const { return "leave"; }
    std::string operator()(const KillStarter&) const { return "kill starter"; }
    std::string operator()(const CutStreams&) const { return "cut"; }
    std::string operator()(const Finish&) const { return "finish"; }
  };
  return std::visit(Visitor{ranks_text}, action);
}

class SupervisionTest : public ::testing::Test {
 protected:
  SupervisionTest() {
    limits_.join_timeout.value = 60'000ms;
    limits_.stop_grace_period.value = 30'000ms;
    limits_.failure_grace_period.value = 3'000ms;
    limits_.drain_timeout.value = 10'000ms;
  }

  // ---- setting the scene ----

  void world(int size, const std::vector<int>& servers = {}) {
    run_.emplace(size, limits_, begin_, patience_, servers);
  }

  // Time goes on to `ms` since the start; deadlines on the way are kept, as the loop keeps them.
  void at(int ms) {
    const SteadyTime target = begin_ + std::chrono::milliseconds(ms);
    for (auto next = run_->next_deadline(); next && *next <= target; next = run_->next_deadline()) {
      now_ = std::max(now_, *next);
      take(run_->tick(now_));
    }
    now_ = target;
  }

  // ---- what happens ----

  void assign(int rank) { run_->rank_assigned(rank); }

  void start(int rank) {
    assign(rank);
    plan::RankOutcome outcome = run_->rank(rank);
    outcome.started_at = std::chrono::system_clock::now();
    take(run_->rank_started(outcome, now_));
  }

  void start_all() {
    for (int rank = 0; rank < static_cast<int>(run_->outcome().ranks.size()); ++rank) start(rank);
  }

  void end(int rank, int code) { end(rank, ExitStatus::exited(code)); }

  // `earlier`: the news was that long on its way.
  void end(int rank, ExitStatus status, std::chrono::milliseconds earlier = 0ms,
           bool by_agent = false, std::chrono::nanoseconds clock_error = {}) {
    plan::RankOutcome outcome = run_->rank(rank);
    outcome.end = plan::RankEnd::kExited;
    outcome.status = status;
    outcome.ended_at = std::chrono::system_clock::now() - earlier;
    take(run_->rank_ended(outcome, by_agent, now_, clock_error));
  }

  void exec_fails(int rank, int code, const std::string& why) {
    assign(rank);
    plan::RankOutcome outcome = run_->rank(rank);
    outcome.end = plan::RankEnd::kExecFailed;
    outcome.status = ExitStatus::exited(code);
    outcome.exec_failure = why;
    outcome.ended_at = std::chrono::system_clock::now();
    take(run_->rank_ended(outcome, false, now_));
  }

  void quiet(int rank) { take(run_->rank_quiet(rank, now_)); }
  void gone(int rank) { take(run_->agent_gone(rank, now_)); }
  void end_quietly(int rank, int code) {
    end(rank, code);
    quiet(rank);
  }
  void mpirun_signals(int rank) { take(run_->agent_signalled(rank, SIGTERM, now_)); }
  void starter_ends(int code) { starter_ends(ExitStatus::exited(code)); }
  void starter_ends(ExitStatus status) { take(run_->starter_ended(status, now_)); }
  void all_agents_left() { take(run_->all_agents_left(now_)); }
  void drained() { take(run_->streams_drained(now_)); }
  void stop(int signal_number) { take(run_->stop_requested(signal_number, now_)); }
  void disk_fails() {
    plan::FirstFailure failure;
    failure.origin = plan::FailureOrigin::kMuster;
    failure.how = "run_directory";
    failure.description = "no space left";
    take(run_->muster_failed(failure, 73, now_));
  }
  // What follows every "leave" when nothing goes wrong.
  void leaves_in_order() {
    all_agents_left();
    starter_ends(0);
    drained();
  }

  // ---- what is seen ----

  // What was to be done since the last look.
  Phrases told() { return std::exchange(told_, {}); }

  plan::RunOutcome outcome() const { return run_->outcome(); }
  plan::RankEnd rank_end(int rank) const { return run_->rank(rank).end; }

  // "rank 1 exited 7, code 7, training"
  std::string verdict() const {
    const plan::RunOutcome result = outcome();
    const std::string code = "code " + std::to_string(result.exit_code);
    if (result.status == plan::RunStatus::kSucceeded) {
      return result.first_failure ? "succeeded with a failure" : "succeeded, " + code;
    }
    const plan::FirstFailure& failure = result.first_failure.value();
    return (result.status == plan::RunStatus::kCancelled ? "cancelled: " : "") +
           (failure.rank ? "rank " + std::to_string(*failure.rank) + " " : "") + failure.how + " " +
           std::to_string(failure.value) + ", " + code + ", " +
           (failure.origin == plan::FailureOrigin::kMuster ? "muster" : "training");
  }

  void take(const Actions& actions) {
    for (const Action& action : actions) told_.push_back(phrase(action));
  }

  config::Limits limits_;
  std::chrono::milliseconds patience_ = 200ms;  // with a starter whose ranks succeeded
  const SteadyTime begin_ = SteadyTime(1000s);
  SteadyTime now_ = begin_;
  std::optional<Supervision> run_;
  Phrases told_;
};

}  // namespace muster::exec
