#include "collector/replication/sender_state.h"

#include <algorithm>

namespace muster::replication {

using protocol::FrameType;
using protocol::FrameView;

namespace {

// The digest of a file was another there so often: it is not tried again.
constexpr int kDigestTries = 3;

}  // namespace

// The stream of a message, while it is open on that link.
SentStream* Sender::State::stream_of(LinkRole role, StreamNumber number) {
  if (number >= entries.size()) return nullptr;
  SentStream& entry = entries[number];
  const bool here = entry.phase == SendPhase::kOpening || entry.phase == SendPhase::kOpen;
  return here && entry.link == role ? &entry : nullptr;
}

Result<> Sender::State::take_all(LinkRole role) {
  SenderLink& its = link(role);
  while (!its.over) {
    MUSTER_TRY_ASSIGN(const std::optional<FrameView> frame, its.reader.next_view());
    if (!frame) break;
    its.liveness.heard(now);
    MUSTER_TRY(take(role, *frame));
    if (its.control.size() > wire::kMaxFrame) return wire::broken("it asks and does not read");
  }
  return {};
}

Result<> Sender::State::take(LinkRole role, const FrameView& frame) {
  SenderLink& its = link(role);
  if (frame.stream >= entries.size() && frame.stream != 0) {
    return wire::broken("stream " + std::to_string(frame.stream) + " was never opened");
  }
  if (!its.welcomed && frame.type != FrameType::kWelcome && frame.type != FrameType::kBye &&
      frame.type != FrameType::kPing && frame.type != FrameType::kPong) {
    return wire::broken("frame type " + std::to_string(static_cast<int>(frame.type)) +
                        " before a Welcome");
  }
  switch (frame.type) {
    case FrameType::kWelcome: return welcome(role, frame);
    case FrameType::kOpened: return opened(role, frame);
    case FrameType::kAck: return acknowledged(role, frame);
    case FrameType::kCredit: {
      MUSTER_TRY_ASSIGN(const std::uint64_t bytes, wire::read_credit(frame.payload));
      its.credit = std::min<std::uint64_t>(its.credit + bytes, 1ULL << 40);
      return {};
    }
    case FrameType::kRewind: return rewind(role, frame);
    case FrameType::kClose: closed_there(role, frame.stream); return {};
    case FrameType::kPing: {
      MUSTER_TRY_ASSIGN(const std::int64_t sent, wire::read_ping(frame.payload));
      const std::int64_t wall = clock();
      wire::add(its.control, wire::Pong{sent, wall, wall});
      return {};
    }
    case FrameType::kPong: return wire::read_pong(frame.payload).map([](const wire::Pong&) {});
    case FrameType::kBye: return bye(role, frame);
    default:
      return wire::broken("frame type " + std::to_string(static_cast<int>(frame.type)) +
                          " to a sender");
  }
}

Result<> Sender::State::welcome(LinkRole role, const FrameView& frame) {
  SenderLink& its = link(role);
  MUSTER_TRY_ASSIGN(const wire::Welcome welcome, wire::read_welcome(frame.payload));
  if (its.welcomed) return wire::broken("a second Welcome");
  its.welcomed = true;
  its.most_streams = welcome.streams;
  its.most_payload = welcome.payload;
  its.credit = welcome.credit;
  its.uncharged.fill(kUnchargedRate);
  its.uncharged_at = now;
  ++totals.links;
  return {};
}

Result<> Sender::State::opened(LinkRole role, const FrameView& frame) {
  MUSTER_TRY_ASSIGN(wire::Opened opened, wire::read_opened(frame.payload));
  SentStream* entry = stream_of(role, frame.stream);
  if (entry == nullptr) return {};
  if (!opened.refused.empty()) {
    refuse(frame.stream, opened.refused);
    return {};
  }
  const std::uint64_t lost = entry->out.opened_at({opened.next, opened.durable});
  if (opened.complete) {
    complete(frame.stream);
    return {};
  }
  entry->phase = SendPhase::kOpen;
  set_blocked(*entry, false);
  moved(frame.stream, lost);
  return {};
}

// An OPEN of a link before this one was still on its way and took the stream there.
void Sender::State::closed_there(LinkRole role, StreamNumber number) {
  if (stream_of(role, number) == nullptr) return;
  leave_link(number);
  schedule(number);
}

void Sender::State::moved(StreamNumber number, std::uint64_t lost) {
  account(entries[number]);
  tell(number);
  if (lost > 0) events.push_back({SenderEvent::Kind::kRollback, number, {}, lost});
  schedule(number);
  list_idle(number);
}

void Sender::State::complete(StreamNumber number) {
  done(number, SendPhase::kComplete);
  tell(number);
}

void Sender::State::refuse(StreamNumber number, const std::string& why) {
  done(number, SendPhase::kRefused);
  events.push_back({SenderEvent::Kind::kRefused, number, why});
}

// Told here: a receiver would only take it for a broken sender.
void Sender::State::refuse_what_cannot_travel(StreamNumber number) {
  const StreamDescription& stream = entries[number].out.description();
  auto why = wire::why_no_name(stream.path);
  if (!why && stream.link_target.size() > wire::kMaxName) why = "it leads to a name too long";
  if (why) refuse(number, wire::shown_name(stream.path) + " is not sent: " + *why);
}

Result<> Sender::State::acknowledged(LinkRole role, const FrameView& frame) {
  MUSTER_TRY_ASSIGN(const std::vector<wire::Mark> marks, wire::read_marks(frame.payload));
  for (const wire::Mark& mark : marks) {
    SentStream* entry = stream_of(role, mark.stream);
    if (entry == nullptr) continue;
    bool has_moved = false;
    if (!entry->out.acknowledged({mark.received, mark.durable}, has_moved)) {
      return wire::broken("bytes of stream " + std::to_string(mark.stream) +
                          " are acknowledged that were never sent");
    }
    if (mark.complete) {
      // Also without an end from us: a sender before us may have told it.
      complete(mark.stream);
    } else if (has_moved) {
      moved(mark.stream, 0);
    }
  }
  return {};
}

Result<> Sender::State::rewind(LinkRole role, const FrameView& frame) {
  MUSTER_TRY_ASSIGN(const wire::Rewind rewind, wire::read_rewind(frame.payload));
  SentStream* entry = stream_of(role, frame.stream);
  // What was said to a stream that has been closed since: its next Opened tells how it is.
  if (entry == nullptr) return {};
  if (rewind.wait) {
    blocked_why = rewind.text.empty() ? "it has no room" : rewind.text;
    set_blocked(*entry, true);
  }
  if (entry->phase != SendPhase::kOpen) return {};  // and it is not opened before there is room
  if (rewind.reason == wire::RewindReason::kDigest && ++entry->digest_failures >= kDigestTries) {
    wire::add(link(role).control, frame.stream, StreamEnd{0, {}, false});
    refuse(frame.stream, rewind.text.empty() ? "its digest there is another" : rewind.text);
    return {};
  }
  const std::uint64_t lost = entry->out.rewind(rewind.expected);
  set_blocked(*entry, rewind.wait);
  moved(frame.stream, lost);
  return {};
}

Result<> Sender::State::bye(LinkRole role, const FrameView& frame) {
  MUSTER_TRY_ASSIGN(const wire::Bye bye, wire::read_bye(frame.payload));
  if (bye.code == wire::ByeCode::kSuperseded && !superseded) {
    superseded = true;
    events.push_back({SenderEvent::Kind::kSuperseded, 0, bye.text});
  }
  close_link(role, bye.text, std::chrono::milliseconds(bye.retry_after_ms));
  return {};
}

}  // namespace muster::replication
