#include "launcher/data/transfer_outcome.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace muster::data {
namespace {

using nlohmann::json;
using Phase = TransferState::Phase;

std::string line_of(const json& text) {
  return text.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string_view word_of(Phase phase) {
  switch (phase) {
    case Phase::kListing: return "listing";
    case Phase::kWaiting: return "waiting";
    case Phase::kCopying: return "copying";
  }
  return "";
}

TransferState state_of(const json& text, Phase phase) {
  TransferState state;
  state.phase = phase;
  text.at("listed").get_to(state.listed);
  text.at("files").get_to(state.files);
  text.at("bytes").get_to(state.bytes);
  text.at("files_done").get_to(state.files_done);
  text.at("bytes_done").get_to(state.bytes_done);
  text.at("bytes_per_second").get_to(state.bytes_per_second);
  text.at("at").get_to(state.at);
  return state;
}

TransferOutcome outcome_of(const json& text) {
  TransferOutcome outcome;
  text.at("content").get_to(outcome.content);
  text.at("entry").get_to(outcome.entry);
  text.at("hit").get_to(outcome.hit);
  text.at("files").get_to(outcome.files);
  text.at("bytes").get_to(outcome.bytes);
  text.at("moved_files").get_to(outcome.moved_files);
  text.at("moved_bytes").get_to(outcome.moved_bytes);
  text.at("kept_bytes").get_to(outcome.kept_bytes);
  text.at("refused").get_to(outcome.refused);
  text.at("remarks").get_to(outcome.remarks);
  return outcome;
}

}  // namespace

std::string progress_line(const TransferState& state) {
  return line_of({{"phase", word_of(state.phase)},
                  {"listed", state.listed},
                  {"files", state.files},
                  {"bytes", state.bytes},
                  {"files_done", state.files_done},
                  {"bytes_done", state.bytes_done},
                  {"bytes_per_second", state.bytes_per_second},
                  {"at", state.at}});
}

std::string outcome_line(const TransferOutcome& outcome) {
  return line_of({{"phase", "done"},
                  {"content", outcome.content},
                  {"entry", outcome.entry},
                  {"hit", outcome.hit},
                  {"files", outcome.files},
                  {"bytes", outcome.bytes},
                  {"moved_files", outcome.moved_files},
                  {"moved_bytes", outcome.moved_bytes},
                  {"kept_bytes", outcome.kept_bytes},
                  {"refused", outcome.refused},
                  {"remarks", outcome.remarks}});
}

std::string failure_line(const Error& error) {
  return line_of({{"phase", "failed"}, {"message", error.message}, {"hint", error.hint}});
}

TransferLine parse_transfer_line(std::string_view line) {
  TransferLine parsed;
  const json text = json::parse(line, nullptr, false);
  if (!text.is_object()) return parsed;
  try {
    const std::string word = text.at("phase");
    if (word == "done") {
      parsed.outcome = outcome_of(text);
    } else if (word == "failed") {
      parsed.failure = Error{ErrorCode::kData, text.at("message"), text.at("hint"), std::nullopt};
    } else {
      for (const Phase phase : {Phase::kListing, Phase::kWaiting, Phase::kCopying}) {
        if (word == word_of(phase)) parsed.state = state_of(text, phase);
      }
    }
  } catch (const json::exception&) {
    return {};
  }
  return parsed;
}

std::string describe(const TransferOutcome& outcome) {
  std::string text = counted(static_cast<std::int64_t>(outcome.files), "file") + ", " +
                     format_bytes(outcome.bytes);
  if (outcome.hit) return text + ", from the cache";
  if (outcome.kept_bytes > 0) {
    text += " (" + format_bytes(outcome.kept_bytes) + " of it were there already)";
  }
  return text;
}

}  // namespace muster::data
