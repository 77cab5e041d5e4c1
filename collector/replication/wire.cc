#include "collector/replication/wire.h"

#include <cstring>

#include "base/text.h"
#include "replication.pb.h"

namespace muster::replication::wire {
namespace {

using protocol::FrameHeader;
using protocol::FrameType;

// Above every offset that is taken from outside: sums of two of them do not overflow.
constexpr std::uint64_t kMaxOffset = 1ULL << 62;
constexpr std::size_t kMaxReason = 64;
constexpr std::size_t kMaxDigest = 64;

template <typename Message>
void add_message(std::string& out, FrameType type, StreamNumber stream, const Message& message) {
  FrameHeader header;
  header.type = type;
  header.stream = stream;
  const std::size_t begin = protocol::begin_frame(out);
  message.AppendToString(&out);
  protocol::end_frame(out, begin, header);
}

template <typename Message>
Result<Message> parse(std::string_view payload, const char* what) {
  Message message;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return broken(std::string(what) + " cannot be read");
  }
  return message;
}

std::string text_of(const std::string& text) {
  return text.substr(0, kMaxText);
}

Failure not_taken(const std::string& path, const std::string& why) {
  return fail(ErrorCode::kPermission, shown_name(path) + " is not taken: " + why);
}

}  // namespace

Failure broken(std::string what) {
  return fail(ErrorCode::kInternal, "the other side does not keep to the protocol: " + what);
}

std::string shown_name(const std::string& path) {
  constexpr std::size_t kMost = 80;
  return "`" + without_controls(path.substr(0, kMost)) + (path.size() > kMost ? "…`" : "`");
}

std::optional<std::string> why_no_name(const std::string& path) {
  if (path.empty()) return "it has no name";
  if (path.size() <= kMaxName) return std::nullopt;
  return "its name has " + std::to_string(path.size()) + " bytes, more than " +
         std::to_string(kMaxName);
}

void add(std::string& out, const Welcome& message) {
  protocol::Welcome proto;
  proto.set_streams(message.streams);
  proto.set_payload(message.payload);
  proto.set_credit(message.credit);
  add_message(out, FrameType::kWelcome, 0, proto);
}

void add(std::string& out, StreamNumber stream, const StreamDescription& message) {
  protocol::Open proto;
  proto.set_path(message.path);
  proto.set_kind(static_cast<std::uint32_t>(message.kind));
  proto.set_generation(message.generation);
  proto.set_whole(message.whole);
  proto.set_size_hint(message.size_hint);
  proto.set_mtime_ns(message.mtime_ns);
  proto.set_mode(message.mode);
  proto.set_owner_rank(message.owner_rank);
  proto.set_link_target(message.link_target);
  proto.set_last(message.last);
  add_message(out, FrameType::kOpen, stream, proto);
}

void add(std::string& out, StreamNumber stream, const Opened& message) {
  protocol::Opened proto;
  proto.set_next(message.next);
  proto.set_durable(message.durable);
  proto.set_complete(message.complete);
  proto.set_refused(text_of(message.refused));
  add_message(out, FrameType::kOpened, stream, proto);
}

void add(std::string& out, StreamNumber stream, const StreamGap& message) {
  protocol::Gap proto;
  proto.set_from(message.from);
  if (message.to) proto.set_to(*message.to);
  // Of a ledger that somebody wrote by hand; a cut might leave no UTF-8.
  proto.set_reason(message.reason.size() <= kMaxReason ? message.reason : "other");
  add_message(out, FrameType::kGap, stream, proto);
}

void add(std::string& out, StreamNumber stream, const StreamEnd& message) {
  protocol::End proto;
  proto.set_length(message.length);
  // One that is none cannot be compared with.
  if (message.digest.size() <= kMaxDigest) proto.set_digest(message.digest);
  proto.set_commit(message.commit);
  add_message(out, FrameType::kEnd, stream, proto);
}

void add(std::string& out, StreamNumber stream, const Rewind& message) {
  protocol::Rewind proto;
  proto.set_expected(message.expected);
  proto.set_reason(static_cast<protocol::Rewind::Reason>(message.reason));
  proto.set_wait(message.wait);
  proto.set_text(text_of(message.text));
  add_message(out, FrameType::kRewind, stream, proto);
}

void add(std::string& out, const std::vector<Mark>& marks) {
  // Many streams may move at once; a frame has a limit.
  constexpr std::size_t kMost = 8192;
  for (std::size_t at = 0; at < marks.size(); at += kMost) {
    protocol::Ack proto;
    for (std::size_t i = at; i < marks.size() && i < at + kMost; ++i) {
      protocol::Ack::Mark* mark = proto.add_marks();
      mark->set_stream(marks[i].stream);
      mark->set_received(marks[i].received);
      mark->set_durable(marks[i].durable);
      mark->set_complete(marks[i].complete);
    }
    add_message(out, FrameType::kAck, 0, proto);
  }
}

void add(std::string& out, const Pong& message) {
  protocol::Pong proto;
  proto.set_sent_ns(message.sent_ns);
  proto.set_received_ns(message.received_ns);
  proto.set_answered_ns(message.answered_ns);
  add_message(out, FrameType::kPong, 0, proto);
}

void add(std::string& out, const Bye& message) {
  protocol::Bye proto;
  proto.set_code(static_cast<protocol::Bye::Code>(message.code));
  proto.set_text(text_of(message.text));
  proto.set_retry_after_ms(message.retry_after_ms);
  add_message(out, FrameType::kBye, 0, proto);
}

void add_credit(std::string& out, std::uint64_t bytes) {
  protocol::Credit proto;
  proto.set_bytes(bytes);
  add_message(out, FrameType::kCredit, 0, proto);
}

void add_close(std::string& out, StreamNumber stream) {
  FrameHeader header;
  header.type = FrameType::kClose;
  header.stream = stream;
  protocol::append_frame(out, header, {});
}

void add_deleted(std::string& out, StreamNumber stream, const std::string& path) {
  protocol::Deleted proto;
  proto.set_path(path);
  add_message(out, FrameType::kDeleted, stream, proto);
}

void add_ping(std::string& out, std::int64_t sent_ns) {
  protocol::Ping proto;
  proto.set_sent_ns(sent_ns);
  add_message(out, FrameType::kPing, 0, proto);
}

Result<Welcome> read_welcome(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Welcome>(payload, "a Welcome"));
  if (proto.streams() == 0 || proto.payload() < 1024 || proto.payload() > kMaxData ||
      proto.credit() > kMaxOffset) {
    return broken("a Welcome with impossible limits");
  }
  return Welcome{proto.streams(), proto.payload(), proto.credit()};
}

Result<StreamDescription> read_open(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Open>(payload, "an Open"));
  const std::uint32_t kind = proto.kind();
  if (const auto why = why_no_name(proto.path())) return not_taken(proto.path(), *why);
  if (proto.link_target().size() > kMaxName) {
    return not_taken(proto.path(), "it is a link to a name of " +
                                       std::to_string(proto.link_target().size()) + " bytes");
  }
  // Of a newer version, perhaps.
  if (kind < static_cast<std::uint32_t>(store::StreamKind::kControl) ||
      kind > static_cast<std::uint32_t>(store::StreamKind::kFile)) {
    return not_taken(proto.path(), "its kind, " + std::to_string(kind) + ", is unknown here");
  }
  StreamDescription stream;
  stream.path = proto.path();
  stream.kind = static_cast<store::StreamKind>(kind);
  stream.generation = proto.generation();
  stream.whole = proto.whole();
  stream.size_hint = proto.size_hint();
  stream.mtime_ns = proto.mtime_ns();
  stream.mode = proto.mode();
  stream.owner_rank = proto.owner_rank();
  stream.link_target = proto.link_target();
  stream.last = proto.last();
  return stream;
}

Result<Opened> read_opened(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Opened>(payload, "an Opened"));
  if (proto.next() > kMaxOffset || proto.durable() > proto.next()) {
    return broken("an Opened with impossible offsets");
  }
  return Opened{proto.next(), proto.durable(), proto.complete(), text_of(proto.refused())};
}

Result<StreamGap> read_gap(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Gap>(payload, "a Gap"));
  if (proto.from() > kMaxOffset || proto.reason().size() > kMaxReason ||
      (proto.has_to() && (proto.to() > kMaxOffset || proto.to() <= proto.from()))) {
    return broken("a Gap with impossible offsets");
  }
  StreamGap gap;
  gap.from = proto.from();
  if (proto.has_to()) gap.to = proto.to();
  gap.reason = proto.reason();
  return gap;
}

Result<StreamEnd> read_end(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::End>(payload, "an End"));
  if (proto.length() > kMaxOffset || proto.digest().size() > kMaxDigest) {
    return broken("an End with an impossible length");
  }
  return StreamEnd{proto.length(), proto.digest(), proto.commit()};
}

Result<Rewind> read_rewind(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Rewind>(payload, "a Rewind"));
  if (proto.expected() > kMaxOffset) return broken("a Rewind to an impossible offset");
  Rewind rewind;
  rewind.expected = proto.expected();
  // An unknown reason of a newer version is still a Rewind.
  const int reason = proto.reason();
  rewind.reason =
      reason >= 0 && reason <= 3 ? static_cast<RewindReason>(reason) : RewindReason::kFailed;
  rewind.wait = proto.wait();
  rewind.text = text_of(proto.text());
  return rewind;
}

Result<std::vector<Mark>> read_marks(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Ack>(payload, "an Ack"));
  std::vector<Mark> marks;
  marks.reserve(static_cast<std::size_t>(proto.marks_size()));
  for (const protocol::Ack::Mark& mark : proto.marks()) {
    if (mark.received() > kMaxOffset || mark.durable() > mark.received()) {
      return broken("an Ack with impossible offsets");
    }
    marks.push_back({mark.stream(), mark.received(), mark.durable(), mark.complete()});
  }
  return marks;
}

Result<Pong> read_pong(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Pong>(payload, "a Pong"));
  return Pong{proto.sent_ns(), proto.received_ns(), proto.answered_ns()};
}

Result<Bye> read_bye(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Bye>(payload, "a Bye"));
  const int code = proto.code();
  Bye bye;
  bye.code = code >= 0 && code <= 4 ? static_cast<ByeCode>(code) : ByeCode::kClosed;
  bye.text = text_of(proto.text());
  bye.retry_after_ms = std::min<std::uint64_t>(proto.retry_after_ms(), 3'600'000);
  return bye;
}

Result<std::uint64_t> read_credit(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Credit>(payload, "a Credit"));
  if (proto.bytes() > kMaxOffset) return broken("an impossible Credit");
  return proto.bytes();
}

Result<std::string> read_deleted(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Deleted>(payload, "a Deleted"));
  if (const auto why = why_no_name(proto.path())) return not_taken(proto.path(), *why);
  return proto.path();
}

Result<std::int64_t> read_ping(std::string_view payload) {
  MUSTER_TRY_ASSIGN(const auto proto, parse<protocol::Ping>(payload, "a Ping"));
  return proto.sent_ns();
}

Result<std::uint64_t> read_zeros(std::string_view payload) {
  std::uint64_t count = 0;
  if (payload.size() != sizeof count) return broken("zeros without their number");
  std::memcpy(&count, payload.data(), sizeof count);
  if (count == 0 || count > kMaxOffset) return broken("an impossible number of zeros");
  return count;
}

}  // namespace muster::replication::wire
