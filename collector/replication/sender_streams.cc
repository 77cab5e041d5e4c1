#include "collector/replication/sender_state.h"

#include <algorithm>

namespace muster::replication {

using store::StreamKind;

bool Sender::State::has_lane(const StreamDescription& stream) {
  return !store::is_append_only(stream.kind);
}

StreamNumber Sender::State::add(StreamDescription description, bool tombstone) {
  const auto number = static_cast<StreamNumber>(entries.size());
  SentStream& entry = entries.emplace_back(std::move(description));
  entry.tombstone = tombstone;
  const StreamDescription& stream = entry.out.description();
  if (has_lane(stream)) lanes[stream.path].push_back(number);
  if (stream.last) {
    last_ones.push_back(number);
  } else {
    ++incomplete;
  }
  if (tombstone) {
    ++open_ends;
    entry.out.ended({});
  }
  return number;
}

void Sender::State::account(SentStream& entry) {
  const std::uint64_t now_unsent = entry.is_done() ? 0 : entry.out.unsent();
  unsent = unsent - entry.unsent + now_unsent;
  entry.unsent = now_unsent;
}

bool Sender::State::is_turn(StreamNumber number) const {
  const SentStream& entry = entries[number];
  const StreamDescription& stream = entry.out.description();
  if (stream.last && incomplete > 0) return false;
  if (!has_lane(stream)) return true;
  const auto lane = lanes.find(stream.path);
  if (lane == lanes.end() || lane->second.front() != number) return false;
  // A file's name that became a folder's, or the other way round: in the order of the writer.
  const std::vector<StreamNumber> others = lanes_in_the_way(stream);
  return std::all_of(others.begin(), others.end(),
                     [&](StreamNumber other) { return other > number; });
}

// The first of each path that is a folder of this one's, or has this one for a folder.
std::vector<StreamNumber> Sender::State::lanes_in_the_way(const StreamDescription& stream) const {
  std::vector<StreamNumber> all;
  if (stream.kind != store::StreamKind::kFile) return all;
  const std::string_view path = stream.path;
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    const auto above = lanes.find(path.substr(0, slash));
    if (above != lanes.end()) all.push_back(above->second.front());
  }
  const std::string below = stream.path + "/";
  for (auto each = lanes.lower_bound(below); each != lanes.end() && each->first.starts_with(below);
       ++each) {
    all.push_back(each->second.front());
  }
  return all;
}

// Whether there is something to tell that can be told now.
bool Sender::State::has_work(StreamNumber number) const {
  const SentStream& entry = entries[number];
  if (entry.is_done() || entry.phase == SendPhase::kOpening) return false;
  if (!is_turn(number)) return false;
  if (entry.phase == SendPhase::kWaiting) {
    return entry.tombstone || entry.out.end() || entry.out.unsent() > 0 ||
           entry.out.step() != OutgoingStream::Step::kNothing;
  }
  if (entry.blocked) return false;
  const OutgoingStream::Step step = entry.out.step();
  if (step == OutgoingStream::Step::kData) return !entry.unreadable;
  return step != OutgoingStream::Step::kNothing;
}

void Sender::State::schedule(StreamNumber number) {
  SentStream& entry = entries[number];
  if (entry.queued || !has_work(number)) return;
  entry.queued = true;
  const StreamDescription& stream = entry.out.description();
  if (entry.phase == SendPhase::kOpen) {
    link(entry.link).open.push(number, stream.kind);
  } else if (stream.kind == StreamKind::kFile) {
    files.push(number, size_class(entry), stream.mtime_ns);
  } else {
    waiting.push(number, stream.kind);
  }
}

std::uint64_t Sender::State::size_class(const SentStream& entry) {
  if (!entry.out.description().whole) return 0;
  return std::max(entry.out.description().size_hint, entry.out.size());
}

void Sender::State::set_blocked(SentStream& entry, bool is_blocked) {
  if (entry.blocked == is_blocked) return;
  entry.blocked = is_blocked;
  is_blocked ? ++blocked : --blocked;
}

void Sender::State::leave_link(StreamNumber number) {
  SentStream& entry = entries[number];
  if (entry.phase != SendPhase::kOpening && entry.phase != SendPhase::kOpen) {
    return;
  }
  link(entry.link).streams.erase(number);
  drop_weight(entry);
  entry.phase = SendPhase::kWaiting;
  set_blocked(entry, false);
}

void Sender::State::drop_weight(SentStream& entry) {
  SenderLink& its = link(entry.link);
  if (entry.weight == FileWeight::kLarge) --its.large_files;
  if (entry.weight == FileWeight::kSmall) --its.small_files;
  entry.weight = FileWeight::kNone;
}

void Sender::State::done(StreamNumber number, SendPhase how) {
  SentStream& entry = entries[number];
  if (entry.is_done()) return;
  leave_link(number);
  entry.phase = how;
  account(entry);
  if (entry.out.end()) --open_ends;
  const StreamDescription& stream = entry.out.description();
  if (has_lane(stream)) {
    const auto lane = lanes.find(stream.path);
    if (lane != lanes.end()) {
      std::erase(lane->second, number);
      if (lane->second.empty()) {
        lanes.erase(lane);
      } else {
        schedule(lane->second.front());
      }
      for (const StreamNumber other : lanes_in_the_way(stream)) schedule(other);
    }
  }
  if (!stream.last && --incomplete == 0) {
    for (const StreamNumber last : last_ones) schedule(last);
  }
}

void Sender::State::tell(StreamNumber number) {
  SentStream& entry = entries[number];
  if (entry.event_listed || entry.tombstone) return;
  entry.event_listed = true;
  events.push_back({SenderEvent::Kind::kProgress, number, {}});
}

void Sender::State::close_link(LinkRole role, std::string reason,
                               std::chrono::milliseconds retry_after) {
  SenderLink& its = link(role);
  if (!its.up || its.over) return;
  its.over = true;
  closed.push_back({role, std::move(reason), retry_after});
}

void Sender::State::forget_link(LinkRole role) {
  SenderLink& its = link(role);
  // Some of these may have left the link since they were queued there.
  const std::vector<StreamNumber> queued = its.open.clear();
  for (const StreamNumber number : queued) entries[number].queued = false;
  for (const StreamNumber number : its.idle) entries[number].idle_listed = false;
  const std::set<StreamNumber> streams = std::move(its.streams);
  its = SenderLink{};
  for (const StreamNumber number : streams) {
    SentStream& entry = entries[number];
    entry.phase = SendPhase::kWaiting;
    entry.weight = FileWeight::kNone;
    set_blocked(entry, false);
    schedule(number);
  }
  for (const StreamNumber number : queued) schedule(number);
}

}  // namespace muster::replication
