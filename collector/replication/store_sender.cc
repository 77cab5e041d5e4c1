// Everything that touches the Sender and the follower happens on the client's thread; this file's
// own thread decides only when one looks.  Without a client the two are the same.

#include "collector/replication/store_sender.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "base/signals.h"
#include "collector/replication/store_follower.h"
#include "collector/replication/upstream_file.h"

namespace muster::replication {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Between two looks: a line is at the collector soon, and looking at a run of thousands of ranks
// takes a small part of a core.
constexpr std::chrono::milliseconds kShortestPause = 4ms;
constexpr int kPausePerLook = 20;
// Records of the run change without any stream that grows.
constexpr std::chrono::milliseconds kLongestPause = 1000ms;
constexpr std::chrono::milliseconds kPollPause = 50ms;
constexpr std::chrono::milliseconds kTellPause = 1000ms;
constexpr std::chrono::milliseconds kStallPause = 20ms;  // ranks wait: soon again
// The collector is asked to hurry when so much of the bound cannot be freed yet.
constexpr std::uint64_t kPartNotDurable = 4;
constexpr std::size_t kRefusalsListed = 20;

// Without a collector: nobody is told.
class Nobody final : public StreamSink {
 public:
  StreamNumber add(StreamDescription) override { return next_++; }
  void grown(StreamNumber, std::uint64_t) override {}
  void gap(StreamNumber, const StreamGap&) override {}
  void freed(StreamNumber, std::uint64_t) override {}
  void ended(StreamNumber, const StreamEnd&) override {}
  void deleted(const std::string&) override {}

 private:
  StreamNumber next_ = 0;
};

enum class Closing : std::uint8_t { kNothing, kStreams, kAll };

class SenderSink final : public StreamSink {
 public:
  Sender* sender = nullptr;  // set before the follower looks for the first time
  bool has_files = false;

  StreamNumber add(StreamDescription stream) override {
    has_files |= stream.kind == store::StreamKind::kFile;
    return sender->add(std::move(stream));
  }
  void grown(StreamNumber stream, std::uint64_t size) override { sender->grown(stream, size); }
  void gap(StreamNumber stream, const StreamGap& gap) override { sender->gap(stream, gap); }
  void freed(StreamNumber stream, std::uint64_t to) override { sender->freed(stream, to); }
  void ended(StreamNumber stream, const StreamEnd& end) override { sender->ended(stream, end); }
  void deleted(const std::string& path) override { sender->deleted(path); }
};

}  // namespace

struct StoreSender::Impl {
  Impl(store::RunDirectory directory, StoreSenderSettings given)
      : run(std::move(directory)),
        settings(std::move(given)),
        address(settings.client ? settings.client->collector.to_string() : ""),
        follower(run, settings.client ? static_cast<StreamSink&>(sink) : nobody) {}

  // ---- on the client's thread ----

  void look(Closing closing) {
    if (closing == Closing::kAll && !ended) {
      follower.finish();
      streams_ended = ended = true;
    } else if (closing == Closing::kStreams && !streams_ended) {
      follower.finish_streams();
      streams_ended = true;
    } else {
      follower.look();
    }
    if (settings.bound && !ended) keep_bound();
    if (sink.has_files && client && !std::exchange(bulk_opened, true)) client->open_bulk();
    publish();
    if (!client) tell();
  }

  // What the sender told; it may want to know what becomes of a stream.
  void hear(Sender& sender) {
    if (!started) return;  // the first look follows
    for (const SenderEvent& event : sender.take_events()) {
      switch (event.kind) {
        case SenderEvent::Kind::kProgress: break;
        case SenderEvent::Kind::kRollback: lost_there += event.bytes; break;
        case SenderEvent::Kind::kUnreadable: follower.unreadable(event.stream); break;
        case SenderEvent::Kind::kRefused: refuse(event.text); break;
        case SenderEvent::Kind::kSuperseded: superseded_by = event.text; break;
      }
    }
    publish();
    tell();
  }

  void refuse(const std::string& text) {
    // Every generation of a file is refused anew.
    if (!refusals.insert(text).second) return;
    if (refused.size() < kRefusalsListed) refused.push_back(text);
  }

  void keep_bound() {
    std::vector<store::BoundedStream> streams;
    std::uint64_t not_durable = 0;
    for (const FollowedStream& stream : follower.streams()) {
      store::BoundedStream each;
      each.kind = stream.kind;
      each.size = stream.size;
      each.gone = stream.gone.all();
      if (sink.sender != nullptr) {
        const Watermarks marks = sink.sender->watermarks(stream.number);
        each.durable = marks.durable;
        each.received = marks.received;
      }
      not_durable += store::bytes_outside(each.gone, each.durable, each.size);
      streams.push_back(each);
    }
    if (sink.sender != nullptr) {
      sink.sender->hurry(not_durable > settings.bound->max_size / kPartNotDurable);
    }
    const auto now = Clock::now();
    const auto decision = store::decide_room(*settings.bound, streams, stalled, now);
    for (const store::Room& room : decision.freed) follower.free(room.stream, room.to, address);
    for (const store::Room& room : decision.dropped) {
      follower.drop(room.stream, room.from, room.to);
      dropped += room.to - room.from;
    }
    if (!decision.dropped.empty()) {
      dropped_ranges = 0;
      for (const FollowedStream& each : follower.streams()) {
        dropped_ranges += each.dropped.all().size();
      }
    }
    nearly_full = decision.kept > settings.bound->max_size / 2;
    set_waiting(decision.wait, now);
  }

  void set_waiting(bool waits, Clock::time_point now) {
    if (stalled.is_waiting() == waits) return;
    stalled.set_waiting(waits, now);
    settings.wait(waits);
  }

  void publish() {
    const auto now = Clock::now();
    const std::lock_guard lock(mutex);
    shown.unsent = sink.sender == nullptr ? 0 : sink.sender->unsent_bytes();
    const bool all_there = sink.sender != nullptr && sink.sender->all_complete();
    shown.streams_closed = streams_ended;
    shown.streams_complete = streams_ended && all_there;
    shown.closed = ended;
    shown.complete = ended && all_there;
    shown.superseded = superseded_by.has_value();
    shown.superseded_by = superseded_by.value_or("");
    shown.refused = refused;
    shown.refused_count = refusals.size();
    shown.dropped = dropped;
    shown.dropped_ranges = dropped_ranges;
    shown.held_up = sink.sender == nullptr ? "" : sink.sender->held_up();
    shown.lost_there = lost_there;
    shown.waits = stalled.is_waiting();
    shown_nearly_full = nearly_full;
    shown.cannot_free = follower.cannot_free();
    shown.run_is_over = follower.is_over();
    if (shown.unsent == 0) level_at = now;
  }

  // Outside of the lock: whoever is told may ask.
  void tell() {
    SendProgress now = progress();
    const auto at = Clock::now();
    const bool changed =
        now.link.connected != last_told.link.connected ||
        now.link.refused != last_told.link.refused ||
        now.link.trouble.has_value() != last_told.link.trouble.has_value() ||
        now.link.answers != last_told.link.answers ||
        now.held_up.empty() != last_told.held_up.empty() ||
        now.superseded != last_told.superseded || now.waits != last_told.waits ||
        (now.dropped > 0) != (last_told.dropped > 0) || now.lost_there != last_told.lost_there ||
        now.cannot_free != last_told.cannot_free ||
        now.streams_complete != last_told.streams_complete || now.complete != last_told.complete;
    if (!changed && (at < told_at + kTellPause || now.unsent == last_told.unsent)) return;
    told_at = at;
    settings.told(now);
    last_told = std::move(now);
  }

  SendProgress progress() const {
    SendProgress progress;
    {
      const std::lock_guard lock(mutex);
      progress = shown;
      if (progress.unsent > 0) {
        progress.behind =
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - level_at);
      }
    }
    if (client) progress.link = client->state();
    return progress;
  }

  // ---- on the own thread ----

  // Runs it where the sender lives, and waits for it.
  void on_clients_thread(const std::function<void()>& work) {
    if (!client) return work();
    std::mutex done_mutex;
    std::condition_variable done;
    bool is_done = false;
    client->call([&](Sender& sender) {
      sink.sender = &sender;
      work();
      const std::lock_guard lock(done_mutex);
      is_done = true;
      done.notify_one();
    });
    std::unique_lock lock(done_mutex);
    done.wait(lock, [&] { return is_done; });
  }

  void run_looks() {
    while (true) {
      Closing closing = Closing::kNothing;
      {
        const std::lock_guard lock(mutex);
        if (stopping) return;
        closing = asked;
        growth_told = false;
      }
      const auto began = Clock::now();
      on_clients_thread([&] { look(closing); });
      note_upstream();
      pause(closing, Clock::now() - began);
    }
  }

  void pause(Closing closing, Clock::duration looked) {
    auto shortest = std::max<Clock::duration>(kShortestPause, looked * kPausePerLook);
    Clock::duration longest = kLongestPause;
    if (settings.polls) longest = std::max<Clock::duration>(kPollPause, shortest);
    std::unique_lock lock(mutex);
    if (shown.waits) longest = kStallPause;
    // A flood would be far beyond the bound before the next look.
    if (shown_nearly_full)
      shortest = std::min(shortest, std::max<Clock::duration>(kStallPause, looked));
    // What has ended changes no more: only the collector's words are waited for.
    const auto woken = [&] { return stopping || asked != closing; };
    wake.wait_for(lock, std::min(shortest, longest), woken);
    wake.wait_for(lock, longest - std::min(shortest, longest),
                  [&] { return woken() || (growth_told && closing == Closing::kNothing); });
  }

  void ask(Closing closing) {
    {
      const std::lock_guard lock(mutex);
      asked = std::max(asked, closing);
    }
    wake.notify_all();
  }

  // Written when something about it has changed, not with every byte.
  void note_upstream() {
    if (!client) return;
    Upstream now{address, false, 0};
    {
      const std::lock_guard lock(mutex);
      now.complete = shown.complete && shown.refused_count == 0;
      if (shown.streams_closed) now.unsent = shown.unsent;
    }
    // What is known of a collector that has something is not replaced by one that nobody reached.
    reached = reached || now.complete || client->state().connected;
    if (had_upstream && !reached) return;
    if (written && *written == now) return;
    if (write_upstream(run, now)) written = now;
  }

  const store::RunDirectory run;
  const StoreSenderSettings settings;
  const std::string address;
  Nobody nobody;
  SenderSink sink;
  StoreFollower follower;
  store::StallClock stalled;
  std::vector<std::string> refused;
  std::unordered_set<std::string> refusals;
  std::uint64_t dropped = 0;
  std::uint64_t dropped_ranges = 0;
  std::uint64_t lost_there = 0;
  std::optional<std::string> superseded_by;
  SendProgress last_told;
  Clock::time_point told_at{};
  bool nearly_full = false;  // the bound may be reached soon
  bool streams_ended = false;
  bool ended = false;
  bool bulk_opened = false;
  std::optional<Upstream> written;
  bool had_upstream = false;  // before this sender
  bool reached = false;       // the collector has taken the run, at least once

  mutable std::mutex mutex;  // guards what follows
  std::condition_variable wake;
  SendProgress shown;
  bool shown_nearly_full = false;
  Clock::time_point level_at = Clock::now();
  bool growth_told = false;
  Closing asked = Closing::kNothing;
  bool stopping = false;

  std::atomic<bool> started{false};      // the client can be asked
  std::unique_ptr<SenderClient> client;  // reads from the follower: it goes before that
  std::thread thread;
};

Result<std::unique_ptr<StoreSender>> StoreSender::start(store::RunDirectory run,
                                                        StoreSenderSettings settings) {
  auto impl = std::make_unique<Impl>(std::move(run), std::move(settings));
  if (impl->settings.client) {
    const auto before = read_upstream(impl->run);
    impl->had_upstream = before && *before;
    MUSTER_TRY_ASSIGN(impl->client, SenderClient::start(*impl->settings.client, impl->follower,
                                                        [impl = impl.get()](Sender& sender) {
                                                          impl->hear(sender);
                                                        }));
    impl->started = true;
  }
  const AllSignalsBlocked no_signals;  // they are the main thread's
  impl->thread = std::thread([impl = impl.get()] { impl->run_looks(); });
  return std::unique_ptr<StoreSender>(new StoreSender(std::move(impl)));
}

StoreSender::StoreSender(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

StoreSender::~StoreSender() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->thread.join();
  impl_->note_upstream();
  impl_->client.reset();
  if (impl_->stalled.is_waiting()) impl_->settings.wait(false);
}

void StoreSender::grown() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (std::exchange(impl_->growth_told, true)) return;
  }
  impl_->wake.notify_one();
}

void StoreSender::close_streams() {
  impl_->ask(Closing::kStreams);
}

void StoreSender::close() {
  impl_->ask(Closing::kAll);
}

SendProgress StoreSender::progress() const {
  return impl_->progress();
}

std::vector<UnsentStream> StoreSender::unsent(std::size_t most) {
  std::vector<UnsentStream> found;
  impl_->on_clients_thread([&] {
    if (impl_->sink.sender == nullptr) return;
    for (const FollowedStream& stream : impl_->follower.streams()) {
      const Watermarks marks = impl_->sink.sender->watermarks(stream.number);
      if (marks.complete || marks.unsent == 0) continue;
      found.push_back({stream.path, marks.unsent});
    }
  });
  std::sort(found.begin(), found.end(),
            [](const auto& one, const auto& other) { return one.bytes > other.bytes; });
  if (found.size() > most) found.resize(most);
  return found;
}

}  // namespace muster::replication
