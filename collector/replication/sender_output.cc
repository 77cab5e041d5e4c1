#include "collector/replication/sender_state.h"

#include <algorithm>
#include <cstring>

namespace muster::replication {

using protocol::FrameHeader;
using protocol::FrameType;
using store::StreamKind;

namespace {

// Large files that are on their way on one link at once, and small ones.
constexpr std::uint32_t kLargeFiles = 2;
constexpr std::uint32_t kSmallFiles = 64;
// The source had nothing where something should be: it is asked again.
constexpr std::chrono::milliseconds kReadAgain{1'000};

bool is_urgent(StreamKind kind) {
  return kind == StreamKind::kControl || kind == StreamKind::kMetrics ||
         kind == StreamKind::kEvents || kind == StreamKind::kStderr;
}

}  // namespace

void Sender::State::refill(SenderLink& its) {
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - its.uncharged_at);
  if (passed < std::chrono::milliseconds(1)) return;
  its.uncharged_at = now;
  const std::uint64_t more =
      passed > std::chrono::seconds(1)
          ? kUnchargedRate
          : kUnchargedRate * static_cast<std::uint64_t>(passed.count()) / 1'000;
  for (std::uint64_t& left : its.uncharged) left = std::min(kUnchargedRate, left + more);
}

bool Sender::State::may_send(SenderLink& its, StreamKind kind) {
  if (its.credit > 0) return true;
  if (!is_urgent(kind)) return false;
  if (its.uncharged[static_cast<std::size_t>(kind)] > 0) return true;
  its.starved = true;
  return false;
}

bool Sender::State::make_room(SenderLink& its) {
  while (its.streams.size() >= its.most_streams && !its.idle.empty()) {
    const StreamNumber number = its.idle.front();
    its.idle.pop_front();
    SentStream& entry = entries[number];
    entry.idle_listed = false;
    if (entry.phase != SendPhase::kOpen || &link(entry.link) != &its) continue;
    if (!is_idle(entry)) continue;
    wire::add_close(its.control, number);
    leave_link(number);
  }
  return its.streams.size() < its.most_streams;
}

bool Sender::State::is_idle(const SentStream& entry) {
  return !entry.out.end() && entry.out.step() == OutgoingStream::Step::kNothing &&
         entry.out.durable() >= entry.out.next();
}

void Sender::State::list_idle(StreamNumber number) {
  SentStream& entry = entries[number];
  if (entry.idle_listed || entry.phase != SendPhase::kOpen) return;
  if (!is_idle(entry)) return;
  entry.idle_listed = true;
  link(entry.link).idle.push_back(number);
}

std::optional<StreamNumber> Sender::State::next_to_open(LinkRole role) {
  SenderLink& its = link(role);
  if (role == LinkRole::kLive) {
    if (const auto number = waiting.pop([](StreamKind) { return true; })) return number;
  }
  if (!serves_files(role)) return std::nullopt;
  if (its.small_files < kSmallFiles) {
    if (const auto number = files.pop_small()) return number;
  }
  if (its.large_files < kLargeFiles) return files.pop_large();
  return std::nullopt;
}

// One frame that opens a stream.  False: there is none to open.
bool Sender::State::open_one(LinkRole role, std::string& out) {
  SenderLink& its = link(role);
  if (!make_room(its)) return false;
  while (const auto number = next_to_open(role)) {
    SentStream& entry = entries[*number];
    entry.queued = false;
    if (entry.phase != SendPhase::kWaiting || !has_work(*number)) {
      schedule(*number);
      continue;
    }
    out += its.control;
    its.control.clear();
    entry.phase = SendPhase::kOpening;
    entry.link = role;
    entry.was_opened = true;
    its.streams.insert(*number);
    const StreamDescription& stream = entry.out.description();
    if (entry.tombstone) {
      wire::add_deleted(out, *number, stream.path);
      return true;
    }
    if (stream.kind == StreamKind::kFile && stream.whole) {
      entry.weight =
          size_class(entry) < FileQueue::kLarge ? FileWeight::kSmall : FileWeight::kLarge;
      ++(entry.weight == FileWeight::kSmall ? its.small_files : its.large_files);
    }
    wire::add(out, *number, stream);
    return true;
  }
  return false;
}

// The next of an open stream.  False: nothing can be told now.
bool Sender::State::tell_one(LinkRole role, std::string& out, std::size_t most) {
  SenderLink& its = link(role);
  while (const auto number = its.open.pop([&](StreamKind kind) { return may_send(its, kind); })) {
    SentStream& entry = entries[*number];
    entry.queued = false;
    if (entry.phase != SendPhase::kOpen || !has_work(*number)) {
      schedule(*number);
      continue;
    }
    switch (entry.out.step()) {
      case OutgoingStream::Step::kNothing: break;
      case OutgoingStream::Step::kGap:
        wire::add(out, *number, entry.out.gap_here());
        entry.out.told_gap();
        break;
      case OutgoingStream::Step::kEnd:
        wire::add(out, *number, entry.out.end_here());
        entry.out.told_end();
        drop_weight(entry);
        break;
      case OutgoingStream::Step::kData: tell_data(its, *number, out, most); break;
    }
    schedule(*number);
    return true;
  }
  return false;
}

void Sender::State::tell_data(SenderLink& its, StreamNumber number, std::string& out,
                              std::size_t most) {
  SentStream& entry = entries[number];
  const std::uint64_t offset = entry.out.next();
  const std::uint64_t left = entry.out.limit() - offset;
  const bool charged = its.credit > 0;
  std::uint64_t& allowed =
      charged ? its.credit : its.uncharged[static_cast<std::size_t>(entry.out.description().kind)];
  const std::size_t wanted = static_cast<std::size_t>(
      std::min({left, allowed, std::uint64_t{its.most_payload}, std::uint64_t{most}}));

  // A flood fills the whole of it: one allocation.
  if (left >= most) out.reserve(out.size() + most + protocol::kFrameHeaderSize);
  const std::size_t begin = protocol::begin_frame(out);
  const std::size_t payload = out.size();
  out.resize(payload + std::max<std::size_t>(wanted, sizeof(std::uint64_t)));
  const auto read = source.read(number, offset, std::span(out).subspan(payload, wanted));
  if (!read || (read->bytes == 0 && read->zeros == 0)) {
    out.resize(begin);
    entry.unreadable = true;
    if (read) {
      again.emplace(now + kReadAgain, number);
    } else {
      events.push_back({SenderEvent::Kind::kUnreadable, number, read.error().message});
    }
    return;
  }
  FrameHeader header;
  header.type = FrameType::kData;
  header.flags = charged ? 0 : protocol::kUncharged;
  if (hurry) header.flags |= protocol::kHurry;
  header.offset = offset;
  header.stream = number;
  header.time_ns = clock();
  std::uint64_t count = 0;
  if (read->bytes > 0) {
    count = std::min<std::uint64_t>(read->bytes, wanted);
    out.resize(payload + count);
  } else {
    count = std::min(read->zeros, left);
    header.flags |= protocol::kZeros;
    std::memcpy(out.data() + payload, &count, sizeof count);
    out.resize(payload + sizeof count);
  }
  const std::uint64_t paid = out.size() - payload;
  allowed -= std::min(allowed, paid);
  protocol::end_frame(out, begin, header);
  if (read->bytes > 0) {
    totals.bytes_resent += entry.out.sent_before(count);
    totals.bytes_sent += count;
  }
  entry.out.told_data(count);
}

}  // namespace muster::replication
