// What a run tells the world while it goes on: events.jsonl, the launcher's log, run.json, and the
// console.
#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "collector/store/run_directory.h"
#include "launcher/cluster/run_phase.h"
#include "launcher/exec/execution.h"
#include "launcher/report/console.h"
#include "launcher/report/event_json.h"
#include "launcher/report/run_json.h"

namespace muster::cli {

class RunRecorder : public exec::RunObserver {
 public:
  // Opens the files of the run directory.  Errors: kRunDirectory.
  static Result<RunRecorder> open(const store::RunDirectory& run_directory,
                                  const std::string& hostname, report::RunRecord record,
                                  report::Console& console, bool terminal);

  // Of a member: the run's record is the head's to keep, and here is a log alone.
  static Result<RunRecorder> open_member(const store::RunDirectory& run_directory,
                                         const std::string& hostname, report::RunRecord record,
                                         report::Console& console);
  void event(const std::string& name, const std::vector<report::EventField>& fields = {});
  // Writes run.json anew.  The last time with the outcome, durably.
  Result<> write_run_json(bool durable);
  report::RunRecord& record() { return record_; }

  // The run's phase goes on from here, and everybody is told.
  void happened(const cluster::PhaseEvent& event);

  const std::vector<plan::RankOutcome>& started_ranks() const { return known_ranks_; }

  // Who else is told of what happens; it outlives the recorder's use of it.
  void tell(exec::RunControl& control) { control_ = &control; }
  // Whether azureml-logs/process_*.json are there from the start, or only at the end.
  void keep_process_files_live(bool live) { process_files_live_ = live; }
  // Called once, in this order, when all ranks have started.
  void when_all_started(std::function<void()> callback) {
    all_started_.push_back(std::move(callback));
  }
  // Called for each phase that the run comes to.
  void when_phase(std::function<void(const cluster::RunPhase& run)> callback) {
    phase_changed_ = std::move(callback);
  }
  // Called often: some stream has more bytes.
  void when_grown(std::function<void()> callback) { grown_ = std::move(callback); }

  void rank_started(const plan::RankOutcome& rank, int running, int world_size) override;
  void rank_ended(const plan::RankOutcome& rank, int running) override;
  void placement_differs(int rank, const std::vector<std::string>& differences) override;
  void stopping(const std::string& why, std::chrono::milliseconds grace,
                bool from_outside) override;
  void killing(std::size_t rank_count) override;
  void draining() override;
  void disk_full(const std::string& stream, const std::string& why) override;
  void disk_has_room() override;
  void stream_gap(const std::string& stream, const store::Gap& gap) override;
  void streams_grown() override {
    console_->grown();
    if (grown_) grown_();
  }
  void ranks_sampled(int node_rank, const protocol::RanksSampled& sampled) override;
  void node_suspect(int node_rank, const std::string& text) override;
  void node_wakes(int node_rank, const std::string& text) override;
  void node_lost(int node_rank, const std::string& text) override;
  void suspending() override;
  void resumed() override;
  void terminal_resized() override { console_->redraw(); }
  bool wants_ticks() const override { return terminal_; }
  void tick() override { show_status(); }
  // Also from other threads.
  void notice(const std::string& text) override;

 private:
  RunRecorder(store::RunDirectory run_directory, report::RunRecord record, report::Console& console,
              bool terminal);
  void log(const std::string& text);
  void tell_of_node(const char* what, protocol::NodeStatus::State state, int node_rank,
                    const std::string& text);
  void show_status();
  void write_process_files() const;

  store::RunDirectory run_directory_;
  report::RunRecord record_;
  report::Console* console_;
  exec::RunControl* control_ = nullptr;
  std::vector<std::function<void()>> all_started_;
  std::function<void(const cluster::RunPhase& run)> phase_changed_;
  std::function<void()> grown_;
  cluster::RunPhase phase_;
  bool terminal_;
  bool process_files_live_ = false;
  bool keeps_record_ = true;
  Fd events_;
  Fd log_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::set<std::string> told_notes_;            // of ranks' binding
  std::vector<plan::RankOutcome> known_ranks_;  // that have started, as they fare
  int started_ = 0;
  int running_ = 0;
  std::string stopping_;
};

}  // namespace muster::cli
