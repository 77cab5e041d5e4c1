// The pipes of one rank and the files that their bytes end in.  The launcher keeps the read ends,
// so an agent or training process that is killed loses nothing that write() returned for.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/fd.h"
#include "collector/store/driver_log.h"
#include "collector/store/run_directory.h"
#include "collector/store/stream_file.h"
#include "collector/store/stream_ledger.h"
#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::exec {

// Called by the streams on the loop's thread.
struct StreamCallbacks {
  std::function<void()> grown;  // some file has more bytes
  std::function<void()> ended;  // one more stream is at its end
  // Its file takes no more for now, and why; and that it does again.
  std::function<void(const std::string& stream, const std::string& why)> trouble;
  std::function<void(const std::string& stream)> recovered;
  std::function<void(const std::string& stream, const store::Gap&)> gap;  // bytes are missing
  std::function<bool()> has_room;  // whether it is worth while to try again
  store::StreamPolicy policy = {};
};

// From one descriptor to one file, until end of file.
class StreamPump {
 public:
  enum class Source { kPipe, kFifo };  // a FIFO that we hold open for writing never ends by itself

  StreamPump(EventLoop& loop, Fd source, Source kind, store::StreamFile file, std::string name,
             const StreamCallbacks& callbacks);

  // Gets the bytes too; it outlives the pump.
  void copy_to(store::DriverLog& log, store::DriverLog::Stream stream) {
    driver_log_ = &log;
    driver_stream_ = stream;
  }

  bool ended() const { return !source_; }
  // Whether its writer has to wait: nothing is read meanwhile.
  void hold(bool held);
  // Reads what is there now without waiting, then ends; `reason` records a gap of unknown length if
  // somebody still holds the other end ("" for a FIFO, whose end this is).
  void finish(const std::string& reason);
  // Nothing comes any more: what still waits for room is a gap.  Writes the end down.
  void record_end(store::StreamLedger& ledger);
  std::vector<plan::StreamGap> gaps() const;
  const std::string& problem() const { return file_.problem(); }

 private:
  using Clock = EventLoop::Clock;

  void read_some();
  bool read_once();
  void end();
  std::size_t most_to_read() const;
  void file_in_trouble();
  void arm_retry();
  void try_again();
  void pause();
  void resume();

  EventLoop& loop_;
  Fd source_;
  Source kind_;
  store::StreamFile file_;
  std::string name_;
  const StreamCallbacks& callbacks_;
  store::DriverLog* driver_log_ = nullptr;
  store::DriverLog::Stream driver_stream_ = store::DriverLog::Stream::kStdout;
  std::string cut_reason_;
  bool is_urgent_ = false;                      // there is a reserve for it
  bool waits_ = true;                           // with kBlock, until the stall budget is over
  std::optional<Clock::time_point> paused_at_;  // its pipe is not read
  EventLoop::Watch watch_;
  bool held_ = false;  // by somebody else
  EventLoop::Watch retry_;
};

// stdout, stderr and metrics of one rank.
class RankStreams {
 public:
  // Makes the pipes, the FIFO and the files.  pipe_size in bytes: tried, 0 leaves the default.
  static Result<std::unique_ptr<RankStreams>> create(EventLoop& loop,
                                                     const store::RunDirectory& run, int rank,
                                                     int attempt, const std::string& fifo_path,
                                                     int pipe_size,
                                                     const StreamCallbacks& callbacks);

  // From now on both streams also go there.
  void keep_driver_log(const std::filesystem::path& path);
  store::DriverLog* driver_log() { return driver_log_ ? &*driver_log_ : nullptr; }

  // For the agent: stdout and stderr.  Closed here by close_write_ends(), else they never end.
  const Fd& stdout_write_end() const { return stdout_write_end_; }
  const Fd& stderr_write_end() const { return stderr_write_end_; }
  void close_write_ends();

  bool ended() const { return stdout_->ended() && stderr_->ended(); }
  void finish_metrics() { metrics_->finish(""); }
  void cut(const std::string& reason);
  // stdout and stderr; metrics are few, and have a reserve.
  void hold(bool held);
  void record_ends(store::StreamLedger& ledger);
  std::vector<plan::StreamGap> gaps() const;
  std::string problem() const;  // why bytes are missing; ""

 private:
  Fd stdout_write_end_;
  Fd stderr_write_end_;
  std::optional<store::DriverLog> driver_log_;
  std::unique_ptr<StreamPump> stdout_;
  std::unique_ptr<StreamPump> stderr_;
  std::unique_ptr<StreamPump> metrics_;
};

}  // namespace muster::exec
