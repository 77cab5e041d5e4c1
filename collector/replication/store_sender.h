// The way of one run directory to a collector, whole: what follows the directory, the connections,
// and what becomes of the stored bytes when they may take no more room.
//
// It works on threads of its own; whoever writes the run is never waited for and never waits,
// unless the bound says so.  Without a collector it keeps the bound alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/replication/client.h"
#include "collector/store/run_directory.h"
#include "collector/store/store_bound.h"
#include "muster/result.h"

namespace muster::replication {

struct SendProgress {
  ClientState link;          // without a collector: never connected
  std::uint64_t unsent = 0;  // bytes that are not on the collector's disk
  // The same of close_streams(): the launcher's own record is left.
  bool streams_closed = false;
  bool streams_complete = false;
  bool closed = false;        // close() was called, and every end is told
  bool complete = false;      // and everything is there
  bool superseded = false;    // the collector takes nothing of this run, now and ever
  std::string superseded_by;  // why: a newer start of its writer, or what else the collector said
  std::chrono::milliseconds behind{0};  // how old the oldest unsent byte is, at most
  std::vector<std::string> refused;     // streams and files that it does not take, and why
  std::uint64_t refused_count = 0;      // of these, also those that are not listed
  std::uint64_t dropped = 0;            // bytes that went for want of room
  std::uint64_t dropped_ranges = 0;     // that they are; those that meet are one
  std::string held_up;           // why the collector takes less for now; "" while it does not
  std::uint64_t lost_there = 0;  // that were freed here, and that the collector has lost
  bool waits = false;            // ranks wait for room
  std::string cannot_free;       // why the file system gives no room back; "" while it does
  bool run_is_over = false;      // by run.json
};

struct StoreSenderSettings {
  std::optional<ClientSettings> client;    // nullopt: no collector
  std::optional<store::StoreBound> bound;  // nullopt: streams may take what they want
  // Writers are to wait for room, or wait no longer.  Called on a thread of the sender.
  std::function<void(bool waits)> wait = [](bool) {};
  // Something about the way there has changed, or a second has passed with news.  On a thread of
  // the sender.
  std::function<void(const SendProgress&)> told = [](const SendProgress&) {};
  // Nobody tells when something was written: it is looked for, again and again.
  bool polls = false;
};

struct UnsentStream {
  std::string path;
  std::uint64_t bytes = 0;
};

class StoreSender {
 public:
  // Errors: those of SenderClient::start.
  static Result<std::unique_ptr<StoreSender>> start(store::RunDirectory run,
                                                    StoreSenderSettings settings);
  // What was not sent is not sent; .muster/upstream.json says how much.
  ~StoreSender();

  void grown();  // something was written: cheap, from any thread
  // Ranks and followers write no more; what the launcher tells of the run still comes.
  void close_streams();
  void close();  // nothing will be written any more
  SendProgress progress() const;
  // The streams with the most unsent bytes first, at most so many.
  std::vector<UnsentStream> unsent(std::size_t most);

 private:
  struct Impl;
  explicit StoreSender(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::replication
